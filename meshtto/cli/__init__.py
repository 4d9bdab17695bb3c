"""The command line's front door: answers for help at once, and loads what is heavy when a verb needs it."""

from collections.abc import Sequence

from hamipose.cli.front_door import answer

__all__ = ["main"]

HELP = """\
usage: python -m meshtto VERB [options]

Human meshes from single images, with test-time optimisation inside training.

training and evaluation
  fit       --config FILE [--ckpt_path CKPT]   train; CKPT goes on with an interrupted run, exactly
  validate  --config FILE --ckpt_path CKPT     scores on validation and report sets, after every step of adaptation
  test      --config FILE --ckpt_path CKPT     the same, as the last word on a run
  predict   --config FILE --ckpt_path CKPT     predictions for a data set (data.predict) as an NPZ file
  evaluate  --predictions FILE.npz --data NAME [--OPTION VALUE …]
                                               anyone's vertices, joints or SMPL parameters under the same protocol
  report    [--scale small|paper] [--dry-run]  the paper's table: runs what it lacks, writes Markdown, CSV and plots

your pictures
  predict   IMAGE|FOLDER|VIDEO --checkpoint CKPT [--keypoints FILE.json | --pose-checkpoint CKPT] [--steps 14]
                                               overlay, side view, OBJ, GLB, NPZ and JSON of every person; a video too
  app       --checkpoint CKPT [--pose-checkpoint CKPT]       a page to drop photos on: meshes to turn, every step

body and data
  body import SMPL_NEUTRAL.pkl --out FILE …    read the SMPL file that you registered for, safely, once
  body show | data show | data check           bodies and data sets as pictures; what is wrong with a data set
  body --help, data --help                     options of these verbs

configs
  configs/meshtto/ holds one file per experiment; each states only how it differs from the file that its line
  `inherit:` names. Every value can be overridden:
    --model.init_args.inner.steps 2 --trainer.max_epochs 10 --data.batch_size 16
  --config may be repeated; later files win, and the command line wins over all of them.
  A checkpoint's own options never override a config.

more
  python -m meshtto fit --print_config --config FILE    everything that a run would use
  python -m meshtto fit --help                          every option (long; takes some seconds)
  python -m meshtto evaluate --help, predict --help     options of these verbs
  --debug                                               the whole traceback when something goes wrong

exit status: 0 done, 2 something that you can put right (one line says what), 130 interrupted,
             1 anything else
"""

#: Besides fit, validate, test and predict by a config.
_VERBS = {
    "predict": "meshtto.cli.predict",
    "app": "meshtto.cli.app",
    "evaluate": "meshtto.cli.evaluate",
    "report": "meshtto.cli.experiments",
    "body": "meshtto.cli.body",
    "data": "meshtto.cli.data",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; returns the exit status. See :func:`hamipose.cli.front_door.answer`.

    Args:
        arguments: what follows the program's name; those of the process where None.
    """
    return answer(arguments, "meshtto", HELP, _VERBS)

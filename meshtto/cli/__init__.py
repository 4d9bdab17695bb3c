"""Entry point of the command line: prints help at once and imports heavy modules only when a verb needs them."""

from collections.abc import Sequence

from hamipose.command_line.main import run_command_line

__all__ = ["main"]

HELP = """\
usage: python -m meshtto VERB [options]

Human meshes from single images, with test-time optimization inside training.

training and evaluation
  fit       --config FILE [--ckpt_path CKPT]   train; CKPT resumes an interrupted run exactly
  validate  --config FILE --ckpt_path CKPT     scores on validation and test sets, after every adaptation step
  test      --config FILE --ckpt_path CKPT     final evaluation on the same sets
  predict   --config FILE --ckpt_path CKPT     predictions for a data set (data.predict) as an NPZ file
  evaluate  --predictions FILE.npz --data NAME [--OPTION VALUE …]
                                               scores of external vertices, joints or SMPL parameters
  experiments [--scale small|paper] [--dry-run]
                                               the paper's table: runs missing experiments, writes Markdown, CSV, plots
  dashboard --entity E --project P             Weights & Biases workspace that explains runs (needs an account)

your images
  predict   IMAGE|FOLDER|VIDEO [--checkpoint CKPT] [--keypoints FILE.json | --pose-checkpoint CKPT] [--steps 14]
                                               overlay, side view, OBJ, GLB, NPZ and JSON of every person; also videos
  app       [--checkpoint CKPT] [--pose-checkpoint CKPT]     web page for single photos: rotatable meshes, every step
  export    --checkpoint CKPT --out FOLDER [--half]          model.safetensors and config.yaml, without training state

body and data
  body import SMPL_NEUTRAL.pkl --out FILE …    convert the SMPL file that you registered for, safely, once
  body show | data show | data check           preview bodies and data sets; check a data set
  body --help, data --help                     options of these verbs

configs
  configs/meshtto/ has one file per experiment, which only states differences from the files in its line `inherit:`.
  Every value can be overridden:
    --model.init_args.inner.steps 2 --trainer.max_epochs 10 --data.batch_size 16
  --config can be repeated; later files take precedence, and the command line overrides all of them.
  Options stored in a checkpoint never override a config.

more
  python -m meshtto fit --print_config --config FILE    print the complete config of a run
  python -m meshtto fit --help                          all options (long; takes some seconds)
  python -m meshtto evaluate --help, predict --help     options of these verbs
  --debug                                               show the full traceback of an error

exit status: 0 success, 2 a mistake that you can fix (one line explains it), 130 interrupted,
             1 anything else
"""

#: Verbs other than fit, validate, test and predict with a config.
_VERBS = {
    "predict": "meshtto.cli.predict",
    "app": "meshtto.cli.app",
    "export": "meshtto.cli.export",
    "evaluate": "meshtto.cli.evaluate",
    "experiments": "meshtto.cli.experiments",
    "dashboard": "meshtto.cli.dashboard",
    "body": "meshtto.cli.body",
    "data": "meshtto.cli.data",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit status, see :func:`hamipose.command_line.main.answer`.

    Args:
        arguments: the command line without the program's name; default: that of the process.
    """
    return run_command_line(arguments, "meshtto", HELP, _VERBS)

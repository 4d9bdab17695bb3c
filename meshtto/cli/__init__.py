"""The command line's front door: answers for help at once, and loads what is heavy when a verb needs it."""

import sys
from collections.abc import Sequence

from hamipose.errors import InputError

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

your pictures
  predict   IMAGE|FOLDER|VIDEO --checkpoint CKPT [--keypoints FILE.json] [--steps 14] [--out FOLDER]
                                               overlay, side view, OBJ, GLB, NPZ and JSON of every person

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

exit status: 0 done, 2 something that you can put right (one line says what), 1 anything else
"""

_TRAINING = ("fit", "validate", "test")


def _run(verb: str, rest: list[str]) -> None:
    from_config = any(word.split("=")[0] in ("--config", "-c", "--print_config") for word in rest)
    if verb in _TRAINING or (verb == "predict" and from_config):
        from meshtto.cli.training import run

        run([verb, *rest])
    elif verb == "predict":
        from meshtto.cli.predict import main as predict

        predict(rest)
    elif verb == "evaluate":
        from meshtto.cli.evaluate import main as evaluate

        evaluate(rest)
    elif verb == "body":
        from meshtto.cli.body import main as body

        body(rest)
    elif verb == "data":
        from meshtto.cli.data import main as data

        data(rest)
    elif verb == "--version":
        from meshtto import __version__

        print(__version__)
    else:
        raise InputError(f"there is no verb {verb!r}; expected fit, validate, test, predict, evaluate, body or data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb.

    Args:
        arguments: what follows the program's name; those of the process where None.

    Returns:
        The exit status.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [a for a in given if a != "--debug"]
    if not given or given[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    try:
        _run(given[0], given[1:])
    except InputError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0

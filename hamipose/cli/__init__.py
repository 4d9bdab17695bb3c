"""The command line's front door: answers for help at once, and loads what is heavy when a verb needs it."""

from collections.abc import Sequence

from hamipose.command_line.main import answer

__all__ = ["main"]

HELP = """\
usage: python -m hamipose VERB [options]

Pose estimation that adapts itself to footage nobody labeled.

on your own footage
  predict   INPUT [--checkpoint MODEL] [--out DIR]           keypoints and overlays of a picture, folder, video, webcam
  adapt     FOOTAGE --out DIR [--teacher MODEL]              a model adapted to a folder of photos or a video, no labels
  models    list|fetch NAME|show NAME                        pretrained networks, fetched when asked for
  export    --checkpoint MODEL --out pose.onnx               ONNX, checked; or a folder of safetensors and config
  app       [--checkpoint MODEL] [--compare MODEL2]            a page to drop photos and clips on; two models side by side

training and evaluation
  fit       --config FILE [--ckpt_path CKPT]   train; CKPT goes on with an interrupted run, exactly
  validate  --config FILE --ckpt_path CKPT     scores on source validation and test sets
  test      --config FILE --ckpt_path CKPT     the same, as the last word on a run
  evaluate  --predictions FILE --data CLASS --root DIR       anyone's predicted keypoints, scored
  report    RUN                                HTML page of a run: scores, curves, images (fit writes it at its end)
  experiments --table 1 [--dry-run]            the paper's tables and figures; runs missing experiments
  dashboard --entity E --project P             a Weights & Biases workspace that explains runs (wants an account)

data and demonstration
  data synthesize --look plain --count 2000 --out DIR    people of our own making, with labels
  data check|show|prepare NAME …                         the data sets of the field (data --help)
  style fit --content DIR --style DIR --out FILE         the decoder of UniFrame's style transfer
  demo [--out DIR]                                       the whole story in ten to fifteen minutes

configs
  configs list|show NAME                                 the ready-made experiments
  Each file states only how it differs from the one that its line `inherit:` names. Every value can be overridden:
    --model.init_args.adaptation.trade_off 0.5
    --model.init_args.optimizer.init_args.lr 3e-4
    --trainer.max_epochs 10 --data.batch_size 16
  --config may be repeated; later files win, and the command line wins over all of them.
  A checkpoint's own options never override a config.

more
  python -m hamipose fit --print_config --config FILE    everything that a run would use
  python -m hamipose fit --help                          every option (long; takes some seconds)
  python -m hamipose fit --help.… CLASS                  options of a class: --data.source.help hamipose.data.Surreal
  --debug                                                the whole traceback when something goes wrong

exit status: 0 done, 2 something that you can put right (one line says what), 130 interrupted,
             1 anything else
"""

#: Besides fit, validate, test and predict by a config.
_VERBS = {
    "adapt": "hamipose.cli.adapt",
    "predict": "hamipose.cli.predict",
    "models": "hamipose.cli.models",
    "export": "hamipose.cli.export",
    "app": "hamipose.cli.app",
    "evaluate": "hamipose.cli.evaluate",
    "experiments": "hamipose.cli.experiments",
    "report": "hamipose.cli.report",
    "dashboard": "hamipose.cli.dashboard",
    "data": "hamipose.cli.data",
    "style": "hamipose.cli.style",
    "demo": "hamipose.demo",
    "configs": "hamipose.cli.configs",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; returns the exit status. See :func:`hamipose.command_line.main.answer`.

    Args:
        arguments: what follows the program's name; those of the process where None.
    """
    return answer(arguments, "hamipose", HELP, _VERBS)

"""The command line of hamipose: prints help at once, and imports the module of a verb only when it runs."""

from collections.abc import Sequence

from hamipose.command_line.main import run_command_line

__all__ = ["main"]

HELP = """\
usage: python -m hamipose VERB [options]

2D pose estimation that adapts to your unlabeled images and videos.

your own images and videos
  predict   INPUT [--checkpoint MODEL] [--out DIR]       keypoints and overlays of an image, folder, video or webcam
  adapt     FOOTAGE --out DIR [--teacher MODEL]          adapt a model to a folder of images or a video, without labels
  models    list | fetch NAME | show NAME                pretrained networks; nothing is downloaded without `fetch`
  export    --checkpoint MODEL --out pose.onnx           ONNX file, or a folder of safetensors and config
  app       [--checkpoint MODEL] [--compare MODEL2]      web page for images and clips; two models side by side

training and evaluation
  fit       --config FILE [--ckpt_path CKPT]             train; CKPT resumes an interrupted run exactly
  validate  --config FILE --ckpt_path CKPT               scores on the validation and test sets
  test      --config FILE --ckpt_path CKPT               final evaluation on the test sets
  evaluate  --predictions FILE --data CLASS --root DIR   score the predictions of any tool
  report    RUN                                          HTML report of a run (fit writes it at the end)
  experiments --table 1 [--dry-run]                      tables and figures of the paper; runs missing experiments
  dashboard --entity E --project P                       create a Weights & Biases workspace (needs an account)

data and demo
  data synthesize --style plain --count 2000 --out DIR   render labeled synthetic people or hands
  data check|show|prepare NAME …                         public data sets (data --help)
  style fit --content DIR --style DIR --out FILE         train the decoder of UniFrame's style transfer
  demo [--out DIR]                                       train and adapt on synthetic people, in 10 to 15 minutes

configs
  configs list | show NAME                               the experiments that ship with hamipose
  A config states only its differences from the config that its line `inherit:` names. Every value can be overridden:
    --model.init_args.adaptation.target_weight 0.5
    --model.init_args.optimizer.init_args.lr 3e-4
    --trainer.max_epochs 10 --data.batch_size 16
  --config can be repeated: later files override earlier ones, and the command line overrides all files.
  Options stored in a checkpoint never override a config.

more
  python -m hamipose fit --print_config --config FILE    print the complete config of a run
  python -m hamipose fit --help                          list all options (long, takes some seconds)
  python -m hamipose fit --data.source.help CLASS        options of a class, such as hamipose.data.Surreal
  --debug                                                show the full traceback of an error

exit status: 0 success, 2 an error that you can fix (one line explains it), 130 interrupted,
             1 any other error
"""

#: Modules of all verbs other than fit, validate, test and predict with a config.
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
    "demo": "hamipose.cli.demo",
    "configs": "hamipose.cli.configs",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit status, see :func:`hamipose.command_line.main.answer`.

    Args:
        arguments: the command line without the program's name; default: that of the process.
    """
    return run_command_line(arguments, "hamipose", HELP, _VERBS)

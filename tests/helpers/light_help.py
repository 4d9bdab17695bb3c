"""Check that the help of all verbs answers at once: it loads no large library."""

import subprocess
import sys

_SCRIPT = """
import contextlib, importlib, io, sys
cli = importlib.import_module(sys.argv[1] + ".cli")
heavy = {"albumentations", "anny", "cv2", "jsonargparse", "lightning", "matplotlib", "numpy", "scipy", "timm", "torch",
         "torchmetrics", "torchvision", "warp"}
for words in (["--help"], *([verb, "--help"] for verb in cli._VERBS)):
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        assert cli.main(words) == 0
    assert shown.getvalue().startswith("usage: python -m " + sys.argv[1]), (words, shown.getvalue())
    print(*words, *sorted(heavy & sys.modules.keys()))
"""


def help_imports(package: str) -> dict[str, list[str]]:
    """Return the large libraries that a process has loaded after printing the help of each verb, in turn."""
    command = [sys.executable, "-c", _SCRIPT, package]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {words.strip(): names.split() for words, _, names in (line.partition("--help") for line in lines)}

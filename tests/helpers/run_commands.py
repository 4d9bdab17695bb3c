"""A script that runs training commands one after the other, in one process or in a group of two.

Its argument is a JSON list of commands: package, a name that is printed to standard error, and the arguments. A command
that exceeds the time limit ends the process with the stack of each thread, which shows the place of a deadlock.
"""

import faulthandler
import json
import os
import sys
from importlib import import_module
from typing import Any

from tests.helpers.shared_parser import share_parsers

SECONDS = 400


def skip_report(module: Any) -> None:
    """Skip the HTML report, which does not depend on the number of processes."""
    if hasattr(module, "write_run_report"):
        module.write_run_report = lambda folder: None


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())  # as `python -m` does
    share_parsers()
    for package, name, words in json.loads(sys.argv[1]):
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        print(f"begun: {name}", file=sys.stderr, flush=True)
        module = import_module(f"{package}.training")
        skip_report(module)
        module.run(words)
        faulthandler.cancel_dump_traceback_later()

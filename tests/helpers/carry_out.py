"""A script that carries out runs one after the other: started by torchrun in two processes, or in one.

Its argument is a JSON list of runs: package, words of the command line, and a name that is told on standard output.
A run that takes longer than it may ends the process with the stack of each thread, so that a deadlock names its place.
"""

import faulthandler
import json
import sys
from importlib import import_module
from typing import Any

SECONDS = 400


def hasten(module: Any) -> None:
    """Leave out what has nothing to do with processes: the page that shows a run."""
    if hasattr(module, "write_run_page"):
        module.write_run_page = lambda folder: None


if __name__ == "__main__":
    for package, name, words in json.loads(sys.argv[1]):
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        print(f"begun: {name}", file=sys.stderr, flush=True)
        module = import_module(f"{package}.training")
        hasten(module)
        module.run(words)
        faulthandler.cancel_dump_traceback_later()

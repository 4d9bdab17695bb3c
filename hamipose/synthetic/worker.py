"""A process of its own that makes some of the pictures: ``python -m hamipose.synthetic.worker '<json>'``.

Writes picture files and prints one line of JSON a picture, its record. A module rather than `multiprocessing`, so that
a user's script needs no ``if __name__ == "__main__"``.
"""

import importlib
import json
import os
import sys
from pathlib import Path

__all__ = ["MAKERS", "main"]

#: What can be made, and by which module's `make_record`.
MAKERS = {"people": "hamipose.synthetic.records", "hands": "hamipose.synthetic.hands_records"}


def main(request: str) -> None:
    """Makes what `request` names: {"what": "people", "indices": [...], "folder": ..., and what `make_record` takes}."""
    asked = json.loads(request)
    make_record = importlib.import_module(MAKERS[asked.pop("what")]).make_record
    indices, folder = asked.pop("indices"), Path(asked.pop("folder"))
    # Warp's or anny's prints must not mix with the records.
    records, sys.stdout = os.fdopen(os.dup(1), "w", buffering=1), sys.stderr
    for index in indices:
        print(json.dumps(make_record(folder, index, **asked)), file=records, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

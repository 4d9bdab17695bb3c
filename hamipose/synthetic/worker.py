"""A process of its own that makes some of the pictures: ``python -m hamipose.synthetic.worker '<json>'``.

Writes picture files and prints one line of JSON a picture, its record. A module rather than `multiprocessing`, so that
a user's script needs no ``if __name__ == "__main__"``.
"""

import json
import os
import sys
from pathlib import Path

from hamipose.synthetic.records import make_record

__all__ = ["main"]


def main(request: str) -> None:
    """Makes the pictures named in `request`: {"indices": [...], "folder": ..., and the arguments of `make_record`}."""
    asked = json.loads(request)
    indices, folder = asked.pop("indices"), Path(asked.pop("folder"))
    # Warp's or anny's prints must not mix with the records.
    records, sys.stdout = os.fdopen(os.dup(1), "w", buffering=1), sys.stderr
    for index in indices:
        print(json.dumps(make_record(folder, index, **asked)), file=records, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

"""A process of its own that renders some of the built-in pictures: ``python -m meshtto.data.worker '<json>'``.

Writes picture files and prints one line of JSON a picture: its labels.
"""

import json
import os
import sys
from pathlib import Path

from meshtto.data.rendering import make_record

__all__ = ["main"]


def main(request: str) -> None:
    """Makes the pictures named in `request`: {"indices": [...], "folder": ..., and the arguments of `draw_person`}."""
    asked = json.loads(request)
    indices, folder = asked.pop("indices"), Path(asked.pop("folder"))
    # Warp's or anny's prints must not mix with the records.
    records, sys.stdout = os.fdopen(os.dup(1), "w", buffering=1), sys.stderr
    for index in indices:
        print(json.dumps(make_record(folder, index, **asked)), file=records, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

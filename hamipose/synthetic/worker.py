"""A process of its own that makes some of the pictures: ``python -m hamipose.synthetic.worker < request``.

See `hamipose.synthetic.processes`.
"""

import importlib
import json
import sys

from hamipose.synthetic.processes import make_share

__all__ = ["MAKERS", "main"]

#: What can be made, and by which module's `make_record`.
MAKERS = {"people": "hamipose.synthetic.people.annotations", "hands": "hamipose.synthetic.hands.annotations"}


def main(request: str) -> None:
    """Makes what `request` names: {"what": "people", "indices": [...], "folder": ..., and what `make_record` takes}."""
    asked = json.loads(request)
    make_share(asked, importlib.import_module(MAKERS[asked.pop("what")]).make_record)


if __name__ == "__main__":
    main(sys.stdin.read())

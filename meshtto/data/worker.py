"""A process of its own that renders some of the built-in pictures: ``python -m meshtto.data.worker < request``.

See `hamipose.synthetic.processes`.
"""

import json
import sys

from hamipose.synthetic.processes import make_share
from meshtto.data.rendering import make_record

__all__ = ["main"]


def main(request: str) -> None:
    """Makes the pictures named in `request`: {"indices": [...], "folder": ..., and the arguments of `draw_person`}."""
    make_share(json.loads(request), make_record)


if __name__ == "__main__":
    main(sys.stdin.read())

"""python -m meshtto."""

import sys

from meshtto.cli import main

if __name__ == "__main__":
    sys.exit(main())

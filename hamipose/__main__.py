"""Command line: ``python -m hamipose``."""

import sys

from hamipose.cli import main

if __name__ == "__main__":
    sys.exit(main())

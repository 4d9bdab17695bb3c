"""A verb of the command line: a module with a function `main`, which receives the arguments after the verb.

In the packages a verb is such a module in ``cli/``, an entry of `_VERBS` and a line of `HELP` in ``cli/__init__.py``.
"""

from pathlib import Path

from hamipose.command_line.arguments import Arguments
from hamipose.errors import UserError


def main(arguments: list[str]) -> None:
    """Print the number of JPEG files of a folder."""
    parser = Arguments("python -m hamipose count", description="Count the JPEG files of a folder.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    if not folder.is_dir():
        raise UserError(f"folder {folder} does not exist; pass a folder with JPEG files")
    print(len(list(folder.glob("*.jpg"))))


if __name__ == "__main__":
    main([str(Path(__file__).parent)])

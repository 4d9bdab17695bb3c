"""The verb `configs`: list the configs that ship with hamipose, or show one with everything that it inherits."""

import re
import textwrap
from itertools import takewhile
from pathlib import Path

import yaml

from hamipose.command_line.arguments import Arguments
from hamipose.config.config_file import load_config
from hamipose.config.environment import configs_folder
from hamipose.errors import UserError

__all__ = ["main"]


def _first_sentence(path: Path) -> str:
    """Return the first sentence of the comment at the top of a config, without its period; empty if there is none."""
    comment = takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    text = " ".join(line.lstrip("# ") for line in comment)
    return re.split(r"(?<!eq)(?<!Fig)\. ", text, maxsplit=1)[0].rstrip(".")


def _find(name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    shipped = configs_folder() / (name if path.suffix else f"{name}.yaml")
    if not shipped.is_file():
        raise UserError(f"there is no config {name!r}; `python -m hamipose configs list` lists the names")
    return shipped


def main(arguments: list[str]) -> None:
    """Run `configs list` or `configs show`.

    Args:
        arguments: the command line after the verb.
    """
    parser = Arguments(
        "python -m hamipose configs",
        description="The experiments that ship with hamipose.",
        epilog="examples: configs list · configs show demo · configs show ablation/unified_gate",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="list the names, with a short description of each")
    show = verbs.add_parser("show", help="print a config with everything that it inherits")
    show.add_argument("name", help="a name from `list`, or a file")
    options = parser.parse_args(arguments)
    folder = configs_folder()
    if options.verb == "show":
        print(yaml.safe_dump(load_config(_find(options.name)), sort_keys=False, width=120), end="")
        return
    files = sorted(folder.rglob("*.yaml"), key=lambda path: (len(path.relative_to(folder).parts), str(path)))
    names = [str(path.relative_to(folder).with_suffix("")) for path in files]
    width = max(len(name) for name in names)
    print(f"in {folder}:")
    for name, path in zip(names, files, strict=True):
        description = textwrap.shorten(_first_sentence(path), 100, placeholder=" …")
        print(f"  {name:{width}}  {description}".rstrip())

"""The verb `configs`: list the configs that ship with hamipose, or show one with everything that it inherits."""

import re
from pathlib import Path

import yaml

from hamipose.command_line.arguments import Arguments
from hamipose.config.config_file import load_config
from hamipose.config.environment import configs_folder
from hamipose.errors import UserError

__all__ = ["first_sentence", "main"]


def first_sentence(path: Path) -> str:
    """Return the first sentence of a config's first comment, without its period; empty if there is no comment."""
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            return re.split(r"(?<!eq)(?<!Fig)\. ", line.lstrip("# "), maxsplit=1)[0].rstrip(".")
    return ""


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
        print(f"  {name:{width}}  {first_sentence(path)}".rstrip())

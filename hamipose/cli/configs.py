"""The verb `configs`: what experiments there are, and what a config comes to with all that it inherits."""

import re
from pathlib import Path

import yaml

from hamipose.command_line.arguments import Arguments
from hamipose.config.config_file import load_config
from hamipose.config.environment import configs_folder
from hamipose.errors import UserError

__all__ = ["first_words", "main"]


def first_words(path: Path) -> str:
    """The sentence of a config's first comment."""
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            return re.split(r"(?<!eq)(?<!Fig)\. ", line.lstrip("# "), maxsplit=1)[0].rstrip(".")
    return ""


def _find(name: str) -> Path:
    given = Path(name)
    if given.is_file():
        return given
    found = configs_folder() / (name if given.suffix else f"{name}.yaml")
    if not found.is_file():
        raise UserError(f"there is no config {name!r}; `python -m hamipose configs list` names them")
    return found


def main(arguments: list[str]) -> None:
    """List or show.

    Args:
        arguments: what follows the verb.
    """
    parser = Arguments(
        "python -m hamipose configs",
        description="The ready-made experiments.",
        epilog="examples: configs list · configs show demo · configs show ablation/unified_gate",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="names, with the first words of each")
    show = verbs.add_parser("show", help="one of them with all that it inherits")
    show.add_argument("name", help="as `list` has it, or a file of your own")
    given = parser.parse_args(arguments)
    folder = configs_folder()
    if given.verb == "show":
        print(yaml.safe_dump(load_config(_find(given.name)), sort_keys=False, width=120), end="")
        return
    files = sorted(folder.rglob("*.yaml"), key=lambda path: (len(path.relative_to(folder).parts), str(path)))
    names = [str(path.relative_to(folder).with_suffix("")) for path in files]
    width = max(len(name) for name in names)
    print(f"in {folder}:")
    for name, path in zip(names, files, strict=True):
        print(f"  {name:{width}}  {first_words(path)}".rstrip())

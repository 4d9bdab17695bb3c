"""The verb `data`: check and preview the data sets of mesh recovery, including built-in images."""

import argparse
from pathlib import Path
from typing import Any

from hamipose.command_line.arguments import Arguments, at_least
from hamipose.errors import UserError

__all__ = ["main"]

_EXAMPLES = """\
examples
  data show builtin --out people.png                           built-in images: labels, evidence, mesh, augmented views
  data check 3dpw --root DATA/3dpw --body body/smpl_neutral.safetensors
  data show 3dpw --root DATA/3dpw --split test --evidence detector --out 3dpw.png
  data check spin --root DATA/coco --file DATA/coco2014part_cliffGT.npz
  data show lspet --root DATA/lspet --out lspet.png

data sets
  builtin, {names}

docs/mesh_data.md describes their sources and labels.
"""


def _parser(names: list[str]) -> Arguments:
    parser = Arguments(
        "python -m meshtto data",
        description="People with meshes.",
        epilog=_EXAMPLES.format(names=", ".join(names)),
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in (
        ("check", "report what is present, what is missing, where to get it, and the resulting splits"),
        ("show", "write a contact sheet: labels, 2D evidence, mesh, augmented views"),
    ):
        sub = verbs.add_parser(verb, help=text, epilog=parser.epilog)
        sub.add_argument("name", metavar="NAME", choices=["builtin", *names], help="the data set")
        sub.add_argument("--root", default="cache/meshes", help="folder of the set")
        sub.add_argument("--file", help="for spin: the .npz of annotations")
        sub.add_argument("--body", help="for 3dpw and show: converted SMPL file; built-in images need none")
        sub.add_argument("--mosh", help="for h36m: folder of MoSh's labels")
        if verb == "show":
            sub.add_argument("--split", help="default: the first one")
            sub.add_argument("--out", required=True, type=Path, help="image to write, .png or .jpg")
            sub.add_argument("--count", type=at_least(1), default=6, help="number of people")
            sub.add_argument("--style", help="for builtin: plain or photo (default)")
            sub.add_argument("--evidence", help="truth, detector or none (default: that of the set)")
            sub.add_argument("--height", type=at_least(1), default=256, help="height of the crops in pixels")
            sub.add_argument("--width", type=at_least(1), default=192)
            sub.add_argument("--seed", type=at_least(0), default=0)
    return parser


#: Options that only some sets have.
_ONLY = {"file": ("spin",), "mosh": ("h36m",), "style": ("builtin",)}


def _options(given: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of a named set's loader.

    Raises:
        UserError: an option that does not apply to this set, or a missing one.
    """
    for name, sets in _ONLY.items():
        if given.name not in sets and getattr(given, name, None) is not None:
            raise UserError(f"--{name} only applies to {', '.join(sets)}; leave it out for {given.name}")
    if given.name == "builtin" and (given.body or getattr(given, "split", None)):
        raise UserError("built-in images have one body and no splits; leave out --body and --split")
    if given.verb == "check" and given.body and given.name != "3dpw":
        raise UserError(f"--body does not apply to checking {given.name}; leave it out")
    options: dict[str, Any] = {}
    if given.name == "spin":
        if given.file is None:
            raise UserError("--file is not given; expected the .npz of annotations")
        options["file"] = given.file
    if given.name == "3dpw" and given.body is not None:
        options["body"] = given.body
    if given.name == "h36m" and given.mosh is not None:
        options["mosh"] = given.mosh
    if getattr(given, "evidence", None) is not None:
        options["evidence"] = given.evidence
    return options


def main(arguments: list[str]) -> None:
    """Run `data VERB …`.

    Raises:
        UserError: a mistake that the user can fix.
    """
    from meshtto.data.catalog import CATALOG, find_entry

    given = _parser(list(CATALOG)).parse_args(arguments)
    if given.verb == "check":
        _check(given)
        return
    if given.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"--out is {given.out}, expected a file that ends in .png or .jpg")
    options = _options(given)
    if given.name == "builtin":
        from meshtto.data import BuiltinMeshes

        dataset: Any = BuiltinMeshes(given.style or "photo", given.count, root=given.root, **options)
    else:
        entry = find_entry(given.name)
        dataset = entry.dataset(given.root, given.split or next(iter(entry.splits)), **options)
    dataset.prepare()
    _show(given, dataset)


def _check(given: argparse.Namespace) -> None:
    from meshtto.data.catalog import find_entry
    from meshtto.data.inspection import check

    if given.name == "builtin":
        raise UserError("built-in images are rendered on demand; expected the name of another data set")
    about, options = find_entry(given.name), _options(given)
    datasets = {split: about.dataset(given.root, split, **options) for split in about.splits}
    if not check(about, given.root, datasets):
        raise UserError(f"{given.name} in {given.root} is incomplete; lines marked ✗ say what is missing")


def _show(given: argparse.Namespace, dataset: Any) -> None:
    from hamipose.io.image_file import write_image
    from meshtto.body import load_body
    from meshtto.data.inspection import contact_sheet
    from meshtto.types import GENDERS

    bodies = {}
    if given.name == "builtin":
        bodies = {0: load_body()}
    elif given.body is not None:
        for number, gender in enumerate(GENDERS):
            try:
                bodies[number] = load_body(given.body, gender)
            except UserError:  # a set may need only some of the genders
                continue
        if not bodies:
            load_body(given.body)
    sheet = contact_sheet(dataset, given.count, (given.height, given.width), bodies=bodies, seed=given.seed)
    write_image(given.out, sheet)
    print(given.out)

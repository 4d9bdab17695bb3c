"""The verb `data`: render synthetic people and hands; check, preview and prepare public data sets."""

import argparse

from hamipose.command_line.arguments import Arguments, at_least
from hamipose.errors import UserError

__all__ = ["main"]

_EXAMPLES = """\
examples
  data check lsp --root DATA/lsp                               what is present, what is missing, where to get it
  data show lsp --root DATA/lsp --split test --out lsp.png     contact sheet with skeletons, plain and augmented
  data prepare rhd --raw DATA/RHD_published_v2 --out DATA/rhd  convert to one fast layout; resumes if interrupted
  data show rhd --root DATA/rhd --out rhd.png                  contact sheet of the prepared set
  data synthesize --style photo --count 500 --out DATA/photo   labeled synthetic people

data sets
  {names}

A prepared set is read by hamipose.data.Prepared (root, split, protocol). docs/protocols.md compares the protocols
"strict" and "paper".
"""


def _parser(names: list[str]) -> Arguments:
    parser = Arguments(
        "python -m hamipose data",
        description="Labeled people and hands: synthetic ones, or public data sets.",
        epilog=_EXAMPLES.format(names=", ".join(names)),
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    synthesize = verbs.add_parser("synthesize", help="render labeled people or hands into a folder")
    add = synthesize.add_argument
    add("--what", choices=["people", "hands"], default="people", help="hands are left hands")
    add("--style", choices=["plain", "photo"], default="plain", help="flat colors, or similar to photos")
    add("--count", type=int, default=2000, help="number of images")
    add("--size", type=int, default=256, help="side of the images in pixels")
    add("--seed", type=int, default=0, help="the same seed gives identical files")
    add("--out", required=True, help="output folder; the same command resumes an interrupted run")
    add(
        "--shard",
        metavar="K/N",
        help="render only part K of N, with the same images as a single run; once all parts are in --out, run the "
        "command without it",
    )
    add("--backgrounds", help="folder of background photos (default: built-in backgrounds)")

    def add_verb(verb: str, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(verb, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=parser.epilog)
        sub.add_argument("name", metavar="NAME", help="the data set: " + ", ".join(names))
        return sub

    add = add_verb("prepare", "convert a raw release to one fast layout").add_argument
    add("--raw", required=True, help="folder of the release as downloaded")
    add("--out", required=True, help="output folder; the same command resumes an interrupted run")
    add("--protocol", default="strict", help="strict or paper: selects splits and crops")
    add("--split", action="append", help="can be repeated (default: all splits)")
    add("--side", type=int, default=512, help="shrink boxes larger than this many pixels to it")
    add("--margin", type=float, default=1.6, help="side of the saved region, as a multiple of the box's side")
    add("--quality", type=int, default=95, help="JPEG quality of images that have to be changed")
    add("--workers", type=int, help="worker processes (default: one per core)")

    add = add_verb("check", "report what is present, what is missing, where to get it, and the splits").add_argument
    add("--root", required=True, help="folder of the raw or prepared set")
    add("--deep", action="store_true", help="compare the checksums of all files of a prepared set")

    add = add_verb("show", "write a contact sheet with skeletons, plain and augmented").add_argument
    add("--root", required=True, help="folder of the raw or prepared set")
    add("--out", required=True, help="image to write, .png or .jpg")
    add("--split", default="train")
    add("--protocol", default="strict", help="strict or paper")
    add("--count", type=int, default=6, help="number of people")
    add("--views", default="hamipose", help="augmentation preset, such as regda or uniframe")
    add("--size", type=int, default=256, help="side of each tile in pixels")
    add("--seed", type=at_least(0), default=0)
    return parser


def main(arguments: list[str]) -> None:
    """Run `data VERB …`.

    Args:
        arguments: the command line after `data`.

    Raises:
        UserError: an error that the user can fix.
    """
    from hamipose.data.catalog.entries import CATALOG

    options = vars(_parser(list(CATALOG)).parse_args(arguments))
    verb = options.pop("verb")
    if verb == "synthesize":
        if options.pop("what") == "hands":
            from hamipose.data.datasets.synthetic.hands import synthesize_hands

            synthesize_hands(**options)
        else:
            from hamipose.data.datasets.synthetic.people import synthesize_people

            synthesize_people(**options)
    elif verb == "check":
        from hamipose.data.catalog.check import check

        if not check(**options):
            raise UserError(f"{options['name']} in {options['root']} is incomplete; lines marked ✗ say what is missing")
    elif verb == "show":
        from hamipose.data.catalog.show import show

        print(show(**options))
    else:
        from hamipose.data.catalog.prepare import prepare

        prepare(**options)

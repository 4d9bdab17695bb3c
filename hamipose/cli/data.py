"""The verb `data`: make people, or look at, prepare and check the data sets of the field."""

import argparse

from hamipose.command_line.arguments import Arguments, at_least
from hamipose.errors import UserError

__all__ = ["main"]

_EXAMPLES = """\
examples
  data check lsp --root DATA/lsp                               what is there, what is missing, where to get it
  data show lsp --root DATA/lsp --split test --out lsp.png     people with skeletons, plain and augmented
  data prepare rhd --raw DATA/RHD_published_v2 --out DATA/rhd  one fast layout; goes on where it was interrupted
  data show rhd --root DATA/rhd --out rhd.png                  of the prepared set
  data synthesize --look photo --count 500 --out DATA/photo    people of our own making

data sets
  {names}

A prepared set is read by hamipose.data.Prepared (root, split, protocol). docs/protocols.md sets the protocols "strict"
and "paper" side by side.
"""


def _parser(names: list[str]) -> Arguments:
    parser = Arguments(
        "python -m hamipose data",
        description="Labeled people: made here, or the data sets of the field.",
        epilog=_EXAMPLES.format(names=", ".join(names)),
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    make = verbs.add_parser("synthesize", help="render labeled people or hands into a folder")
    make.add_argument("--what", choices=["people", "hands"], default="people", help="hands are left ones")
    make.add_argument("--look", choices=["plain", "photo"], default="plain", help="flat colors, or near to photos")
    make.add_argument("--count", type=int, default=2000, help="number of images")
    make.add_argument("--size", type=int, default=256, help="side of the images in pixels")
    make.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes")
    make.add_argument("--out", required=True, help="folder to write to; an interrupted run goes on where it stopped")
    make.add_argument(
        "--shard",
        metavar="K/N",
        help="make only part K of N, the same pictures as one run would; once all parts are in --out, run it without",
    )
    make.add_argument("--backgrounds", help="folder of background photos; built-in backgrounds where not given")

    def named(verb: str, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(verb, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=parser.epilog)
        sub.add_argument("name", metavar="NAME", help="which data set: " + ", ".join(names))
        return sub

    prepare = named("prepare", "convert a raw release into one fast layout")
    prepare.add_argument("--raw", required=True, help="folder of the release as its makers give it out")
    prepare.add_argument("--out", required=True, help="folder to write to; an interrupted run goes on where it stopped")
    prepare.add_argument("--protocol", default="strict", help="strict or paper: its splits and crops")
    prepare.add_argument("--split", action="append", help="may be repeated; all splits where not given")
    prepare.add_argument("--side", type=int, default=512, help="boxes larger than this many pixels are shrunk to it")
    prepare.add_argument("--margin", type=float, default=1.6, help="side of what is kept, in sides of the box")
    prepare.add_argument("--quality", type=int, default=95, help="of JPEG, where a picture is changed at all")
    prepare.add_argument("--workers", type=int, help="processes; one a core where not given")

    check = named("check", "say what is there, what is missing, where to get it, and which splits result")
    check.add_argument("--root", required=True, help="folder of the set, raw or prepared")
    check.add_argument("--deep", action="store_true", help="of a prepared set: compare checksums of all files")

    show = named("show", "write a contact sheet with skeletons, plain and augmented")
    show.add_argument("--root", required=True, help="folder of the set, raw or prepared")
    show.add_argument("--out", required=True, help="the picture to write, .png or .jpg")
    show.add_argument("--split", default="train")
    show.add_argument("--protocol", default="strict", help="strict or paper")
    show.add_argument("--count", type=int, default=6, help="number of people")
    show.add_argument("--views", default="hamipose", help="preset of augmentation, such as regda or uniframe")
    show.add_argument("--size", type=int, default=256, help="side of each picture in pixels")
    show.add_argument("--seed", type=at_least(0), default=0)
    return parser


def main(arguments: list[str]) -> None:
    """Carry out `data VERB …`.

    Raises:
        UserError: something that the user can put right.
    """
    from hamipose.data.catalog.entries import CATALOG

    given = vars(_parser(list(CATALOG)).parse_args(arguments))
    verb = given.pop("verb")
    if verb == "synthesize":
        if given.pop("what") == "hands":
            from hamipose.data.datasets.synthetic.hands import synthesize_hands

            synthesize_hands(**given)
        else:
            from hamipose.data.datasets.synthetic.people import synthesize

            synthesize(**given)
    elif verb == "check":
        from hamipose.data.catalog.check import check

        if not check(**given):
            raise UserError(f"{given['name']} in {given['root']} is incomplete; lines marked ✗ say what is missing")
    elif verb == "show":
        from hamipose.data.catalog.show import show

        print(show(**given))
    else:
        from hamipose.data.catalog.prepare import prepare

        prepare(**given)

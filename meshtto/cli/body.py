"""The verb `body`: bring your own SMPL, look at a body."""

import re
from pathlib import Path

from hamipose.cli.arguments import Arguments
from hamipose.errors import InputError
from meshtto.types import GENDERS

__all__ = ["main"]

_EXAMPLES = """\
examples
  body show --out poses.png                      twenty poses of the built-in body
  body show --what shapes --out shapes.png       its first directions of shape
  body import SMPL_NEUTRAL.pkl --out body/smpl_neutral.safetensors \\
       --h36m J_regressor_h36m.npy --extra J_regressor_extra.npy --mean smpl_mean_params.npz

SMPL is free for non-commercial use after registration: https://smpl.is.tue.mpg.de (version 1.1.0; the neutral body of
version 1.0 comes with SMPLify). The two regressors and the mean parameters come with SPIN's data
(https://github.com/nkolot/SPIN, fetch_data.sh). Convert the three genders into one folder under names that tell them
apart, and 3DPW's people get the body that their labels belong to. Nothing in the pickle is run; the converted file
holds numbers only. Without any of this, every command works with the built-in body: see docs/body.md.
"""


def _parser() -> Arguments:
    parser = Arguments(
        "python -m meshtto body",
        description="Body models.",
        epilog=_EXAMPLES,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    bring = verbs.add_parser("import", help="convert a SMPL pickle, safely, once", epilog=_EXAMPLES)
    bring.add_argument("pickle", type=Path, metavar="SMPL.pkl", help="SMPL_NEUTRAL.pkl, SMPL_MALE.pkl, SMPL_FEMALE.pkl")
    bring.add_argument("--out", type=Path, required=True, help="file to write, .safetensors")
    bring.add_argument("--h36m", type=Path, required=True, metavar="J_regressor_h36m.npy", help="17 × 6890")
    bring.add_argument("--extra", type=Path, required=True, metavar="J_regressor_extra.npy", help="9 × 6890")
    bring.add_argument("--mean", type=Path, metavar="smpl_mean_params.npz", help="where regressors start")
    look = verbs.add_parser("show", help="draw a body: its shapes or twenty poses")
    look.add_argument("--body", default="builtin", help="builtin, or a converted SMPL file")
    look.add_argument("--what", choices=("shapes", "poses"), default="poses")
    look.add_argument("--out", type=Path, required=True, help="the picture to write, .png or .jpg")
    bring.add_argument("--gender", choices=GENDERS, help="of the body; read off the pickle's name where not given")
    return parser


def gender_of(path: Path) -> str:
    """The gender that a file of SMPL names: SMPL_FEMALE.pkl, basicModel_f_lbs_10_207_0_v1.0.0.pkl.

    Raises:
        InputError: the name tells none.
    """
    name = path.name.lower()
    for gender in ("neutral", "female", "male"):  # "female" holds "male"
        if gender in name or re.search(f"model_{gender[0]}_", name):
            return gender
    raise InputError(f"the name of {path} tells no gender; give --gender {', '.join(GENDERS)}")


def main(arguments: list[str]) -> None:
    """Carry out `body VERB …`.

    Raises:
        InputError: something that the user can put right.
    """
    given = _parser().parse_args(arguments)
    if given.verb == "show":
        _show(given.body, given.what, given.out)
        return
    from meshtto.body.smpl_import import import_smpl

    gender = given.gender or gender_of(given.pickle)
    arrays = import_smpl(given.pickle, given.out, gender, given.h36m, given.extra, given.mean)
    joints = arrays.joint_regressor @ arrays.template_m
    height = float(arrays.template_m[:, 1].max() - arrays.template_m[:, 1].min())
    print(
        f"{given.out}: SMPL, {gender}, {len(arrays.template_m)} vertices, {len(joints)} joints, {height:.2f} m tall\n"
        f"use it with: --model.init_args.regressor.body {given.out}"
    )


def _show(body: str, what: str, out: Path) -> None:
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"--out is {out}, expected a file that ends in .png or .jpg")
    from hamipose.io.image_file import write_image
    from meshtto.body import load_body
    from meshtto.body.preview import picture_poses, picture_shapes

    picture = (picture_shapes if what == "shapes" else picture_poses)(load_body(body))
    write_image(out, picture)
    print(out)

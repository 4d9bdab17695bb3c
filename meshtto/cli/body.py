"""The verb `body`: import SMPL, preview a body."""

import re
from pathlib import Path

from hamipose.command_line.arguments import Arguments
from hamipose.errors import UserError
from meshtto.genders import GENDERS

__all__ = ["main"]

_EXAMPLES = """\
examples
  body show --out poses.png                      twenty poses of the built-in body
  body show --what shapes --out shapes.png       its first shape directions
  body import SMPL_NEUTRAL.pkl --out body/smpl_neutral.safetensors \\
       --h36m J_regressor_h36m.npy --extra J_regressor_extra.npy --mean smpl_mean_params.npz

SMPL is free for non-commercial use after registration: https://smpl.is.tue.mpg.de (version 1.1.0; the neutral body of
version 1.0 comes with SMPLify). The two regressors and the mean parameters come with SPIN's data
(https://github.com/nkolot/SPIN, fetch_data.sh). Convert the three genders into one folder under names that contain the
gender, so that 3DPW's people get the body that their labels belong to. Nothing in the pickle is executed; the converted
file contains only numbers. Without SMPL, every command works with the built-in body: see docs/body.md.
"""


def _parser() -> Arguments:
    parser = Arguments(
        "python -m meshtto body",
        description="Body models.",
        epilog=_EXAMPLES,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    convert = verbs.add_parser("import", help="convert a SMPL pickle, safely, once", epilog=_EXAMPLES)
    convert.add_argument(
        "pickle", type=Path, metavar="SMPL.pkl", help="SMPL_NEUTRAL.pkl, SMPL_MALE.pkl, SMPL_FEMALE.pkl"
    )
    convert.add_argument("--out", type=Path, required=True, help="file to write, .safetensors")
    convert.add_argument("--h36m", type=Path, required=True, metavar="J_regressor_h36m.npy", help="17 × 6890")
    convert.add_argument("--extra", type=Path, required=True, metavar="J_regressor_extra.npy", help="9 × 6890")
    convert.add_argument("--mean", type=Path, metavar="smpl_mean_params.npz", help="initial parameters of regressors")
    preview = verbs.add_parser("show", help="draw a body: its shapes or twenty poses")
    preview.add_argument("--body", default="builtin", help="builtin, or a converted SMPL file")
    preview.add_argument("--what", choices=("shapes", "poses"), default="poses")
    preview.add_argument("--out", type=Path, required=True, help="image to write, .png or .jpg")
    convert.add_argument("--gender", choices=GENDERS, help="gender of the body (default: from the pickle's name)")
    return parser


def gender_of(path: Path) -> str:
    """Return the gender in the name of a SMPL file: SMPL_FEMALE.pkl, basicModel_f_lbs_10_207_0_v1.0.0.pkl.

    Raises:
        UserError: the name contains none.
    """
    name = path.name.lower()
    for gender in ("neutral", "female", "male"):  # "female" contains "male"
        if gender in name or re.search(f"model_{gender[0]}_", name):
            return gender
    raise UserError(f"the name of {path} contains no gender; give --gender {', '.join(GENDERS)}")


def main(arguments: list[str]) -> None:
    """Run `body VERB …`.

    Raises:
        UserError: a mistake that the user can fix.
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
        raise UserError(f"--out is {out}, expected a file that ends in .png or .jpg")
    from hamipose.io.image_file import write_image
    from meshtto.body import load_body
    from meshtto.body.preview import preview_poses, preview_shapes

    image = (preview_shapes if what == "shapes" else preview_poses)(load_body(body))
    write_image(out, image)
    print(out)

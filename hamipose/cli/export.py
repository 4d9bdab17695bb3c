"""The verb `export`: a model as an ONNX file or as a model folder."""

from pathlib import Path

from hamipose.command_line.arguments import Arguments, at_least
from hamipose.errors import UserError

__all__ = ["main"]

_EXAMPLES = """\
examples
  python -m hamipose export --checkpoint runs/adapted --out pose.onnx
  python -m hamipose export --checkpoint last.ckpt --out model/        (model.safetensors and config.yaml)
"""


def main(arguments: list[str]) -> None:
    """Export.

    Args:
        arguments: what follows the verb.
    """
    parser = Arguments(
        "python -m hamipose export",
        description="Write a model as an ONNX file (checked against the original) or as a model folder.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--checkpoint", required=True, help="a model folder, or a checkpoint that `fit` saved")
    parser.add_argument("--out", type=Path, required=True, help="a file that ends in .onnx, or a folder")
    parser.add_argument(
        "--image-size", type=at_least(1), help="side of the crops in pixels; by default what the model knows"
    )
    parser.add_argument("--half", action="store_true", help="of a model folder: weights in half precision")
    parser.add_argument("--opset", type=int, default=20, help="version of ONNX's operators")
    given = parser.parse_args(arguments)
    out: Path = given.out
    if out.suffix and out.suffix != ".onnx":
        raise UserError(f"--out is {out}, expected a file that ends in .onnx, or a folder")
    if given.half and out.suffix == ".onnx":
        raise UserError("--half is given with an ONNX file; only model folders can be written in half precision")
    from hamipose.inference.loading import load

    model = load(given.checkpoint, device="cpu", image_size=given.image_size)
    if out.suffix == ".onnx":
        from hamipose.inference.export import export_onnx

        difference = export_onnx(model, out, opset=given.opset)
        print(
            f"{out}: {out.stat().st_size / 2**20:.1f} MiB, any batch, differs by {difference:.1e} of the largest value"
        )
    else:
        from hamipose.models.model_io import save_model_folder

        save_model_folder(out, model.network, model.info, half=given.half)
        print(f"{out}: model.safetensors and config.yaml")

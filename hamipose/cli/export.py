"""The verb `export`: write a model as an ONNX file or as a model folder."""

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
    """Run `export`.

    Args:
        arguments: the command line after the verb.
    """
    parser = Arguments(
        "python -m hamipose export",
        description="Write a model as an ONNX file (compared with the original) or as a model folder.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--checkpoint", required=True, help="a model folder, or a checkpoint saved by `fit`")
    parser.add_argument("--out", type=Path, required=True, help="an .onnx file, or a folder")
    parser.add_argument(
        "--image-size", type=at_least(1), help="side of the crops in pixels (default: that of the model)"
    )
    parser.add_argument("--half", action="store_true", help="write the weights of a model folder in half precision")
    parser.add_argument("--opset", type=int, default=20, help="version of ONNX's operators")
    options = parser.parse_args(arguments)
    out: Path = options.out
    if out.suffix and out.suffix != ".onnx":
        raise UserError(f"--out is {out}, expected a file that ends in .onnx, or a folder")
    if options.half and out.suffix == ".onnx":
        raise UserError("--half is given with an ONNX file; only model folders can be written in half precision")
    from hamipose.inference.loading import load

    model = load(options.checkpoint, device="cpu", image_size=options.image_size)
    if out.suffix == ".onnx":
        from hamipose.inference.export import export_onnx

        difference = export_onnx(model, out, opset=options.opset)
        print(
            f"{out}: {out.stat().st_size / 2**20:.1f} MiB, any batch size, largest relative difference from the "
            f"original {difference:.1e}"
        )
    else:
        from hamipose.models.model_io import save_model_folder

        save_model_folder(out, model.network, model.info, half=options.half)
        print(f"{out}: model.safetensors and config.yaml")

"""The verb `export`: write a checkpoint as a model folder."""

from pathlib import Path

from hamipose.command_line.arguments import Arguments

__all__ = ["main"]

_EXAMPLES = """\
example
  python -m meshtto export --checkpoint runs/mesh/people_decay/checkpoints/last.ckpt --half --out mesh
"""


def main(arguments: list[str]) -> None:
    """Write a model folder.

    Args:
        arguments: the command line after the verb.
    """
    description = (
        "Writes the networks of a checkpoint, without its training state, as model.safetensors and config.yaml."
    )
    parser = Arguments("python -m meshtto export", description=description, epilog=_EXAMPLES)
    parser.add_argument("--checkpoint", required=True, help="a checkpoint saved by `fit`, or a model folder")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--half", action="store_true", help="write the weights in half precision")
    given = parser.parse_args(arguments)
    from hamipose.io.atomic_file import check_folder
    from meshtto.methods.checkpoint import load
    from meshtto.methods.model_folder import save_model_folder

    method = load(given.checkpoint)
    check_folder(given.out)
    save_model_folder(given.out, method.state_dict(), method.hparams, half=given.half)
    size = (given.out / "model.safetensors").stat().st_size / 1e6
    print(f"{given.out}: model.safetensors ({size:.1f} MB) and config.yaml")

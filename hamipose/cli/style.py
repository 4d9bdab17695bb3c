"""The verb `style`: train the decoder of UniFrame's style transfer on the images of two domains."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from hamipose.command_line.arguments import Arguments, at_least
from hamipose.errors import UserError

__all__ = ["main"]


def _parser() -> Arguments:
    parser = Arguments("python -m hamipose style", description="Style transfer between the source and the target.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    add = verbs.add_parser("fit", help="train the decoder for both directions").add_argument
    add("--content", help="folder of images of the source, searched recursively")
    add("--style", help="folder of images of the target")
    add("--config", type=Path, help="instead of both: a config of `fit` with a source and a target")
    add("--out", type=Path, required=True, help="file to write, .safetensors")
    add("--encoder", default="pretrained", help="VGG-19: pretrained (timm's), or a file of its state dict")
    add("--start", help="decoder to start from, such as --out of an interrupted run")
    add("--steps", type=at_least(1), default=500_000, help="number of steps; a tenth already gives usable images")
    add("--batch-size", type=at_least(1), default=4, help="pairs of images per step")
    add("--size", type=int, default=256, help="side of the views in pixels, a multiple of 8")
    add("--lr", type=float, default=1e-5, help="constant learning rate of Adam")
    add("--style-weight", type=float, default=0.1, help="weight of the style loss")
    add("--save-every", type=at_least(1), default=5000, help="write --out every n steps")
    add("--workers", type=at_least(0), default=2, help="worker processes that load images")
    add("--seed", type=at_least(0), default=0, help="seed of the order, the views and the initial weights")
    add("--device", help="cuda or cpu (default: the first GPU, if any)")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run `style fit`.

    Args:
        arguments: the command line after `style`.

    Raises:
        UserError: images or weights cannot be read, or an option is out of its range.
    """
    options = _parser().parse_args(arguments)
    if options.size % 8 or options.size < 32:
        raise UserError(f"--size is {options.size}: expected a multiple of 8, at least 32")
    if not (options.lr > 0 and options.style_weight >= 0):
        raise UserError(
            f"--lr is {options.lr} and --style-weight is {options.style_weight}: expected more than 0, and at least 0"
        )
    _check_out(options.out)
    _fit(options)


def _fit(options: argparse.Namespace) -> None:
    """Train the decoder with checked options."""
    import torch

    from hamipose.data.style_pairs import StylePairs
    from hamipose.methods.parts.style_decoder import fit_decoder
    from hamipose.models.device import move_to_device
    from hamipose.models.style import (
        StyleLosses,
        StyleTransfer,
        build_decoder,
        read_decoder,
        read_encoder,
        save_decoder,
    )

    domains = _open_domains(options.content, options.style, options.config)
    for images in domains:
        images.prepare()
        images.decode_side = 2 * options.size
    torch.manual_seed(options.seed)
    encoder = read_encoder(options.encoder)
    decoder = read_decoder(options.start, encoder) if options.start else build_decoder(encoder.widths)
    transfer = StyleTransfer(encoder, decoder)
    move_to_device(transfer, options.device)
    mean = {"content": 0.0, "style": 0.0}

    def log(step: int, losses: StyleLosses) -> None:
        interval = min(100, options.steps)
        mean["content"] += float(losses.content) / interval
        mean["style"] += float(losses.style) / interval
        if (step + 1) % interval == 0:
            print(f"step {step + 1}/{options.steps}  content {mean['content']:.4g}  style {mean['style']:.4g}")
            mean.update(content=0.0, style=0.0)
        if (step + 1) % options.save_every == 0 or step + 1 == options.steps:
            save_decoder(decoder, options.out)

    pairs = StylePairs(*domains, batch_size=options.batch_size, size=options.size, seed=options.seed)
    fit_decoder(
        transfer,
        pairs,
        options.steps,
        lr=options.lr,
        style_weight=options.style_weight,
        workers=options.workers,
        after_step=log,
    )
    print(f"decoder written to {options.out}")


def _open_domains(content: str | None, style: str | None, config: Path | None) -> tuple[Any, Any]:
    """Return the image sets of the two domains.

    Raises:
        UserError: neither two folders nor a config with a source and a target is given, or both are.
    """
    from hamipose.config.config_file import load_config
    from hamipose.data.datasets.footage.images import ImageFolder

    if config is None:
        if not content or not style:
            raise UserError("style fit needs --content FOLDER and --style FOLDER, or --config FILE")
        return ImageFolder(content), ImageFolder(style)
    if content or style:
        raise UserError("style fit takes both domains from --config; leave out --content and --style, or --config")
    data = load_config(config).get("data")
    data = data if isinstance(data, dict) else {}
    target = data.get("target")
    target = target[0] if isinstance(target, list) and target else target
    if not data.get("source") or not target:
        raise UserError(f"config {config} has no data.source or no data.target; give one that has both")
    return _instantiate(config, "source", data["source"]), _instantiate(config, "target", target)


def _instantiate(config: Path, role: str, spec: Any) -> Any:
    from hamipose.config.config_file import instantiate
    from hamipose.data.base import ImageDataset

    try:
        dataset = instantiate(spec)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"config {config}: data.{role} cannot be created ({error}); expected a class_path such as "
            "hamipose.data.ImageFolder, and the init_args that it takes"
        ) from error
    if not isinstance(dataset, ImageDataset):
        raise UserError(f"config {config}: data.{role} is {dataset!r}, expected a data set by class_path and init_args")
    return dataset


def _check_out(path: Path) -> None:
    """Check that the output can be written, before hours of training.

    Raises:
        UserError: it is a folder.
        OSError: its folder cannot be created or written to.
    """
    if path.is_dir():
        raise UserError(f"--out is {path}, a folder; expected a file to write, such as {path / 'decoder.safetensors'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    TemporaryFile(dir=path.parent).close()

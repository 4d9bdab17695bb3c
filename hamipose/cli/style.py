"""``python -m hamipose style fit``: the decoder of UniFrame's style transfer, from the pictures of two domains."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
from torch.utils.data import DataLoader

from hamipose.command_line.arguments import Arguments, at_least
from hamipose.config.config_file import instantiate, load_config
from hamipose.data.base import ImageDataset
from hamipose.data.datasets.footage.images import ImageFolder
from hamipose.data.sampling import init_worker
from hamipose.data.style_pairs import StylePairs
from hamipose.errors import UserError
from hamipose.models.device import move_to_device
from hamipose.models.preprocess import normalize
from hamipose.models.style import (
    StyleLosses,
    StyleTransfer,
    make_decoder,
    read_decoder,
    read_encoder,
    save_decoder,
    style_losses,
)

__all__ = ["fit_decoder", "main"]


def fit_decoder(
    transfer: StyleTransfer,
    pairs: StylePairs,
    steps: int,
    *,
    lr: float = 1e-5,
    style_weight: float = 0.1,
    workers: int = 0,
    after_step: Callable[[int, StyleLosses], None] = lambda step, losses: None,
) -> None:
    """Adam on the content loss plus `style_weight` times the style loss; the encoder stays as it is.

    Args:
        transfer: its decoder learns.
        pairs: batches of ``pairs.batch_size`` are drawn from it.
        steps: length of the run.
        lr: constant, as published.
        style_weight: w.
        workers: loading processes.
        after_step: told of each step and its losses.
    """
    device = next(transfer.parameters()).device
    batch = pairs.batch_size
    places = [list(range(step * batch, (step + 1) * batch)) for step in range(steps)]
    loader = DataLoader(pairs, batch_sampler=places, num_workers=workers, worker_init_fn=init_worker)
    optimizer = torch.optim.Adam(transfer.decoder.parameters(), lr=lr)
    for step, (content, style) in enumerate(loader):
        losses = style_losses(transfer, normalize(content.to(device)), normalize(style.to(device)))
        optimizer.zero_grad()
        loss = losses.content + style_weight * losses.style
        if not bool(loss.isfinite()):
            raise UserError(f"style fit stopped at step {step}: the loss is {float(loss):g}; use a lower --lr")
        loss.backward()
        optimizer.step()
        after_step(step, StyleLosses(*(value.detach() for value in losses)))


def _sets(content: str | None, style: str | None, config: Path | None) -> tuple[ImageDataset, ImageDataset]:
    """The two domains' pictures.

    Raises:
        UserError: neither two folders nor a config with a source and a target is given, or both are.
    """
    if config is None:
        if not content or not style:
            raise UserError("style fit wants --content FOLDER and --style FOLDER, or --config FILE")
        return ImageFolder(content), ImageFolder(style)
    if content or style:
        raise UserError("style fit takes both domains from --config; leave out --content and --style, or --config")
    data = load_config(config).get("data")
    data = data if isinstance(data, dict) else {}
    target = data.get("target")
    target = target[0] if isinstance(target, list) and target else target
    if not data.get("source") or not target:
        raise UserError(f"config {config} has no data.source or no data.target; give one that has both")
    return _built(config, "source", data["source"]), _built(config, "target", target)


def _built(config: Path, role: str, spec: Any) -> ImageDataset:
    try:
        made = instantiate(spec)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"config {config}: data.{role} cannot be made ({error}); expected a class_path such as "
            "hamipose.data.ImageFolder, and the init_args that it takes"
        ) from error
    if not isinstance(made, ImageDataset):
        raise UserError(f"config {config}: data.{role} is {made!r}, expected a data set by class_path and init_args")
    return made


def _check_out(path: Path) -> None:
    """Refuse what cannot be written before hours are spent on it.

    Raises:
        UserError: it is a folder.
        OSError: its folder cannot be made or written to.
    """
    if path.is_dir():
        raise UserError(f"--out is {path}, a folder; expected a file to write, such as {path / 'decoder.safetensors'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    TemporaryFile(dir=path.parent).close()


def main(arguments: Sequence[str]) -> None:
    """`style fit`.

    Args:
        arguments: command line after the verb.

    Raises:
        UserError: pictures or weights cannot be had, or an option is out of its range.
    """
    parser = Arguments("python -m hamipose style", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    fit = verbs.add_parser("fit", help="train the decoder; both directions at once")
    fit.add_argument("--content", help="folder of the source's pictures, searched to any depth")
    fit.add_argument("--style", help="folder of the target's pictures")
    fit.add_argument(
        "--config", type=Path, help="instead of both: a config of `fit`, whose source and target are taken"
    )
    fit.add_argument("--out", type=Path, required=True, help="the decoder, .safetensors")
    fit.add_argument("--encoder", default="pretrained", help="VGG-19: pretrained (timm's) or a file of its state dict")
    fit.add_argument("--start", help="decoder to go on from, such as --out of an interrupted run")
    fit.add_argument("--steps", type=at_least(1), default=500_000, help="UniFrame's; a tenth gives usable pictures")
    fit.add_argument("--batch-size", type=at_least(1), default=4, help="pairs of pictures in a step")
    fit.add_argument("--size", type=int, default=256, help="side of the views in pixels, a multiple of 8")
    fit.add_argument("--lr", type=float, default=1e-5, help="Adam's learning rate, constant")
    fit.add_argument("--style-weight", type=float, default=0.1, help="of the style loss")
    fit.add_argument("--save-every", type=at_least(1), default=5000, help="steps from one writing of --out to the next")
    fit.add_argument("--workers", type=at_least(0), default=2, help="loading processes")
    fit.add_argument("--seed", type=at_least(0), default=0, help="of pictures' order, views and first weights")
    fit.add_argument("--device", help="cuda or cpu; the first GPU if there is one where not given")
    given = parser.parse_args(arguments)
    if given.size % 8 or given.size < 32:
        raise UserError(f"--size is {given.size}: expected a multiple of 8, at least 32")
    if not (given.lr > 0 and given.style_weight >= 0):
        raise UserError(
            f"--lr is {given.lr} and --style-weight is {given.style_weight}: expected more than 0, and at least 0"
        )
    _check_out(given.out)
    sets = _sets(given.content, given.style, given.config)
    for images in sets:
        images.prepare()
        images.decode_side = 2 * given.size
    torch.manual_seed(given.seed)
    encoder = read_encoder(given.encoder)
    decoder = read_decoder(given.start, encoder) if given.start else make_decoder(encoder.widths)
    transfer = StyleTransfer(encoder, decoder)
    move_to_device(transfer, given.device)
    total = {"content": 0.0, "style": 0.0}

    def report(step: int, losses: StyleLosses) -> None:
        every = min(100, given.steps)
        total["content"] += float(losses.content) / every
        total["style"] += float(losses.style) / every
        if (step + 1) % every == 0:
            print(f"step {step + 1}/{given.steps}  content {total['content']:.4g}  style {total['style']:.4g}")
            total.update(content=0.0, style=0.0)
        if (step + 1) % given.save_every == 0 or step + 1 == given.steps:
            save_decoder(decoder, given.out)

    pairs = StylePairs(*sets, batch_size=given.batch_size, size=given.size, seed=given.seed)
    fit_decoder(
        transfer,
        pairs,
        given.steps,
        lr=given.lr,
        style_weight=given.style_weight,
        workers=given.workers,
        after_step=report,
    )
    print(f"decoder written to {given.out}")

"""Training of the decoder of UniFrame's style transfer."""

from collections.abc import Callable

import torch
from torch.utils.data import DataLoader

from hamipose.data.sampling import init_worker
from hamipose.data.style_pairs import StylePairs
from hamipose.errors import UserError
from hamipose.models.preprocess import normalize
from hamipose.models.style import StyleLosses, StyleTransfer, style_losses

__all__ = ["fit_decoder"]


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
    """Minimize the content loss plus `style_weight` times the style loss with Adam; the encoder is frozen.

    Args:
        transfer: its decoder is trained.
        pairs: the training images; a batch has ``pairs.batch_size`` of them.
        steps: number of steps.
        lr: constant learning rate, as published.
        style_weight: weight of the style loss.
        workers: number of worker processes.
        after_step: called with each step and its losses.

    Raises:
        UserError: the loss became NaN or Inf.
    """
    device = next(transfer.parameters()).device
    batch = pairs.batch_size
    batches = [list(range(step * batch, (step + 1) * batch)) for step in range(steps)]
    loader = DataLoader(pairs, batch_sampler=batches, num_workers=workers, worker_init_fn=init_worker)
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

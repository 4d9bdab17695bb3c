"""A stretch of adaptation as an option of a config: how many steps, of what, by which rule."""

from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor, nn

from meshtto.losses import LossWeights
from meshtto.test_time.low_rank import LowRank
from meshtto.test_time.per_image_copy import Stacked
from meshtto.test_time.shared import Shared
from meshtto.test_time.update_rules import SGD, Rule
from meshtto.test_time.weights import Weights

__all__ = ["Phase", "begin"]


@dataclass(frozen=True)
class Phase:
    """Steps that are all alike.

    Attributes:
        steps: how many, at most.
        rule: how gradients move weights: meshtto.test_time.SGD or meshtto.test_time.Adam.
        scope: what is moved: the "head" alone (the backbone then runs once an image) or "all".
        inner: "image", each image its own weights, as the paper says; "shared", one set for the batch, as its
            reference code does.
        pseudo_mesh: whether the loss compares with the auxiliary network's mesh, beside the 2D evidence.
        masked: whether the auxiliary network's mesh counts only for people whose mesh (for vertices, rotations and
            shape) or 3D joints (for joints) are labeled, as in the released code. Photos without labels then have no
            pseudo-mesh.
        loss: weights of the loss's terms that differ from the method's in this phase, such as {keypoints: 1.0,
            camera: 0.0}.
    """

    steps: int = 1
    rule: Rule = field(default_factory=SGD)
    scope: Literal["head", "all"] = "head"
    inner: Literal["image", "shared"] = "image"
    pseudo_mesh: bool = True
    masked: bool = False
    loss: dict[str, float] = field(default_factory=dict, hash=False)

    def weights(self, base: LossWeights) -> LossWeights:
        """Return the weights of the loss's terms in this phase.

        Args:
            base: the method's.

        >>> Phase(loss={"keypoints": 1.0}).weights(LossWeights()).keypoints
        1.0
        """
        return replace(base, **self.loss)


def begin(
    phase: Phase, network: nn.Module, second_order: bool = False, start: dict[str, Tensor] | None = None
) -> Weights:
    """The weights of `network` (the head, or all of it, as the phase's scope says), ready to be moved.

    Args:
        phase: how.
        network: what is run.
        second_order: let derivatives pass through the steps.
        start: parameters of each image to begin with; the network's own where None.
    """
    if phase.inner == "shared":
        return Shared(network, phase.rule, second_order, start)
    if isinstance(phase.rule, SGD) and phase.scope == "head" and not start:
        return LowRank(network, phase.rule, second_order)
    return Stacked(network, phase.rule, second_order, start)

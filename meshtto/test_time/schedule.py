"""One phase of adaptation as a config option: how many steps, of which parameters, by which rule."""

from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor, nn

from meshtto.losses import LossWeights
from meshtto.test_time.low_rank import LowRank
from meshtto.test_time.per_image_copy import PerImageCopy
from meshtto.test_time.shared import Shared
from meshtto.test_time.update_rules import SGD, UpdateRule
from meshtto.test_time.weights import Weights

__all__ = ["Phase", "make_weights"]


@dataclass(frozen=True)
class Phase:
    """A number of identical adaptation steps.

    Attributes:
        steps: maximum number of steps.
        rule: the update rule: meshtto.test_time.SGD or meshtto.test_time.Adam.
        scope: which parameters are adapted: "head" (the backbone then runs once per image) or "all".
        inner: "image" gives each image its own weights, as in the paper; "shared" uses one set for the batch, as in its
            reference code.
        pseudo_mesh: whether the loss includes the auxiliary network's mesh besides the 2D evidence.
        masked: whether the auxiliary network's mesh counts only for people whose mesh (for vertices, rotations and
            shape) or 3D joints (for joints) are labeled, as in the released code. Photos without labels then have no
            pseudo-mesh.
        loss: loss weights that differ from the method's in this phase, such as {keypoints: 1.0, camera: 0.0}.
    """

    steps: int = 1
    rule: UpdateRule = field(default_factory=SGD)
    scope: Literal["head", "all"] = "head"
    inner: Literal["image", "shared"] = "image"
    pseudo_mesh: bool = True
    masked: bool = False
    loss: dict[str, float] = field(default_factory=dict, hash=False)

    def weights(self, base: LossWeights) -> LossWeights:
        """Return the loss weights of this phase; distances are squared.

        Args:
            base: the method's loss weights.

        >>> Phase(loss={"keypoints": 1.0}).weights(LossWeights()).keypoints
        1.0
        """
        return replace(base, distances=False, **self.loss)


def make_weights(
    phase: Phase, network: nn.Module, second_order: bool = False, start: dict[str, Tensor] | None = None
) -> Weights:
    """Return weights of `network` (the head or all of it, according to the phase's scope) that can be adapted.

    Args:
        phase: the phase.
        network: the network to run.
        second_order: differentiate through the steps.
        start: initial parameters of each image; default: the network's own.
    """
    if phase.inner == "shared":
        return Shared(network, phase.rule, second_order, start)
    if isinstance(phase.rule, SGD) and phase.scope == "head" and not start:
        return LowRank(network, phase.rule, second_order)
    return PerImageCopy(network, phase.rule, second_order, start)

"""Options that all methods share, grouped as users think of them. Plain types: the command line reads them."""

from dataclasses import dataclass, field
from typing import Any, Literal

from meshtto import adaptation
from meshtto.adaptation import Phase

__all__ = ["RegressorOptions", "TestTimeOptions", "TrainingOptions", "from_plain", "plain", "plain_network"]


@dataclass(frozen=True)
class RegressorOptions:
    """The network.

    Attributes:
        kind: "cliff" (told where the crop lies in the image) or "hmr".
        backbone: any name that timm knows.
        weights: what the backbone starts from: "none", "pretrained" (timm's) or a file of its state dict.
        published: checkpoint of SPIN's HMR or of CLIFF to start from, head included.
        iterations: of the head's feedback.
        dropout: of the head.
        width: of the head's two layers.
        body: "builtin", or a SMPL file converted by `python -m meshtto body import`.
    """

    kind: Literal["cliff", "hmr"] = "cliff"
    backbone: str = "resnet50"
    weights: str = "none"
    published: str | None = None
    iterations: int = 3
    dropout: float = 0.5
    width: int = 1024
    body: str = "builtin"


@dataclass(frozen=True)
class TrainingOptions:
    """How every method trains.

    Attributes:
        warmup_steps: steps over which the learning rate rises linearly from nearly 0.
        final_lr: share of the learning rate left at the end of the run, reached along half a cosine; 1 keeps it.
        lr_factors: learning rate factors by network (regressor, auxiliary), each then being a parameter group. One
            group of everything where not given.
        clip_norm: largest norm of the gradient; nothing is clipped where not given.
        init_from: checkpoint of any method to take networks from, for a new run: those of the same name, and an
            auxiliary network from the regressor where the checkpoint has none. (To go on with a run, use --ckpt_path.)
    """

    warmup_steps: int = 0
    final_lr: float = 1.0
    lr_factors: dict[str, float] | None = None
    clip_norm: float | None = None
    init_from: str | None = None


@dataclass(frozen=True)
class TestTimeOptions:
    """How a body is fitted to its own picture after training.

    Attributes:
        phases: one after the other, each from where the one before has ended; none: the network's answer as it is.
        tolerance: an image stops when its loss changes by less than this from one step to the next; never where not
            given.
        enough_2d: an image stops when its L_2D, in squares of half a crop, is below this; never where not given.
        ignored_joints: names of joints whose 2D evidence is not used.
        in_validation: adapt in validation during training as well, not only in the verb `test`.
    """

    __test__ = False  # pytest takes the name for a test

    phases: list[Phase] = field(default_factory=lambda: [Phase(steps=14)])
    tolerance: float | None = 2e-5
    enough_2d: float | None = None
    ignored_joints: list[str] = field(default_factory=list)
    in_validation: bool = False


def plain_network(options: RegressorOptions) -> dict[str, Any]:
    """What it takes to build a network again, as a checkpoint may hold it; not what its training began with."""
    return {name: getattr(options, name) for name in ("kind", "backbone", "iterations", "width", "body")}


def plain(options: TestTimeOptions) -> dict[str, Any]:
    """Options at test time as a checkpoint may hold them.

    >>> from_plain(plain(TestTimeOptions())).phases[0].rule.lr
    1e-05
    """
    phases = [
        {**vars(phase), "rule": {"name": type(phase.rule).__name__, **vars(phase.rule)}} for phase in options.phases
    ]
    return {**vars(options), "phases": phases, "ignored_joints": list(options.ignored_joints)}


def from_plain(content: dict[str, Any]) -> TestTimeOptions:
    """The way back."""
    phases = []
    for phase in content["phases"]:
        rule = dict(phase["rule"])
        phases.append(Phase(**{**phase, "rule": getattr(adaptation, rule.pop("name"))(**rule)}))
    return TestTimeOptions(**{**content, "phases": phases})

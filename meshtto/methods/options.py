"""Options that all methods share, grouped as users think of them. Plain types: the command line reads them."""

from dataclasses import dataclass, field
from typing import Any, Literal

from hamipose.errors import InputError
from meshtto import test_time
from meshtto.test_time import Phase

__all__ = [
    "AuxiliaryOptions",
    "RegressorOptions",
    "TestTimeOptions",
    "TrainingOptions",
    "from_plain",
    "plain",
    "plain_network",
    "plain_phase",
]


@dataclass(frozen=True)
class RegressorOptions:
    """The network.

    Attributes:
        kind: "cliff" (told where the crop lies in the image) or "hmr".
        backbone: any name that timm knows.
        weights: what the backbone starts from: "none", "pretrained" (timm's) or a file of its state dict, other parts
            of which, such as a pose network's head, are left out.
        published: checkpoint of SPIN's HMR or of CLIFF to start from, head included; not together with `weights` or
            ``training.init_from``.
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
class AuxiliaryOptions:
    """The auxiliary network; what is null is as in the regressor.

    It starts from one of `weights`, `published` and `init_from`. Where none of them is given, `weights` and `published`
    are the regressor's, too, and ``training.init_from`` fills it from an auxiliary network if its checkpoint has one.

    Attributes:
        kind: the regressor's.
        backbone: any name that timm knows.
        weights: what the backbone starts from: "none", "pretrained" (timm's) or a file of its state dict.
        published: checkpoint of SPIN's HMR or of CLIFF to start from, head included.
        init_from: checkpoint of any method to start from, for a new run: from its auxiliary network if it has one, else
            from its regressor. A regressor trained with another seed makes a network of its own.
        iterations: of the head's feedback.
        dropout: of the head.
        width: of the head's two layers.
        body: the regressor's.
    """

    kind: Literal["cliff", "hmr"] | None = None
    backbone: str | None = None
    weights: str | None = None
    published: str | None = None
    init_from: str | None = None
    iterations: int | None = None
    dropout: float | None = None
    width: int | None = None
    body: str | None = None

    @property
    def starts(self) -> dict[str, str]:
        """The given ones of the three options that say what it starts from."""
        found = {name: getattr(self, name) for name in ("weights", "published", "init_from")}
        return {name: value for name, value in found.items() if value is not None}

    def beside(self, regressor: RegressorOptions) -> RegressorOptions:
        """Return the options of the auxiliary network beside a regressor.

        Raises:
            InputError: it is of another kind or body, or starts from two things.

        >>> AuxiliaryOptions(iterations=3).beside(RegressorOptions(iterations=10, backbone="resnet18")).backbone
        'resnet18'
        """
        if len(self.starts) > 1:
            both = ", ".join(f"{name} ({value})" for name, value in self.starts.items())
            raise InputError(f"auxiliary starts from {both}; expected one of them")
        for name in ("kind", "body"):
            own, wanted = getattr(self, name), getattr(regressor, name)
            if own not in (None, wanted):
                raise InputError(
                    f"auxiliary.{name} is {own} and regressor.{name} is {wanted}; expected the same, or null, because "
                    "their meshes are compared"
                )
        starts: dict[str, Any] = {"weights": self.weights or "none", "published": self.published}
        if not self.starts:
            starts = {"weights": regressor.weights, "published": regressor.published}
        names = ("kind", "backbone", "iterations", "dropout", "width", "body")
        own = {name: getattr(self, name) for name in names}
        values: dict[str, Any] = {n: getattr(regressor, n) if v is None else v for n, v in own.items()}
        return RegressorOptions(**values, **starts)


@dataclass(frozen=True)
class TrainingOptions:
    """How every method trains.

    Attributes:
        warmup_steps: steps over which the learning rate rises linearly from nearly 0.
        final_lr: share of the learning rate left at the end of the run, reached along half a cosine; 1 keeps it.
        lr_factors: learning rate factors by network (regressor, auxiliary), each then being a parameter group. One
            group of everything where not given.
        clip_norm: largest norm of the gradient; nothing is clipped where not given.
        init_from: checkpoint of any method whose regressor a new run's regressor starts from. An auxiliary network
            starts from the checkpoint's auxiliary network, unless the options of `auxiliary` say what it starts from;
            never from the regressor. (To resume a run, use --ckpt_path.)
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
        stop_after_step: take one more step before stopping, down the loss that met `tolerance` or `enough_2d`, as the
            released code does.
        ignored_joints: names of joints whose 2D evidence is not used.
        in_validation: adapt in validation during training as well, not only in the verb `test`.
        memory_gib: people with weights of their own are adapted in groups that need about this much memory beside the
            network, measured on the first of them; a single person may need more. All of a batch at once where null.
    """

    __test__ = False  # pytest takes the name for a test

    phases: list[Phase] = field(default_factory=lambda: [Phase(steps=14)])
    tolerance: float | None = 2e-5
    enough_2d: float | None = None
    stop_after_step: bool = False
    ignored_joints: list[str] = field(default_factory=list)
    in_validation: bool = False
    memory_gib: float | None = 4.0


def plain_network(options: RegressorOptions) -> dict[str, Any]:
    """What it takes to build a network again, as a checkpoint may hold it; not what its training began with."""
    return {name: getattr(options, name) for name in ("kind", "backbone", "iterations", "width", "body")}


def plain(options: TestTimeOptions) -> dict[str, Any]:
    """Options at test time as a checkpoint may hold them.

    >>> from_plain(plain(TestTimeOptions())).phases[0].rule.lr
    1e-05
    """
    phases = [plain_phase(phase) for phase in options.phases]
    return {**vars(options), "phases": phases, "ignored_joints": list(options.ignored_joints)}


def plain_phase(phase: Phase) -> dict[str, Any]:
    """Return a phase as a checkpoint may hold it."""
    rule = {"name": type(phase.rule).__name__, **vars(phase.rule)}
    return {**vars(phase), "rule": rule, "loss": dict(phase.loss)}


def from_plain(content: dict[str, Any]) -> TestTimeOptions:
    """The way back."""
    phases = []
    for phase in content["phases"]:
        rule = dict(phase["rule"])
        phases.append(Phase(**{**phase, "rule": getattr(test_time, rule.pop("name"))(**rule)}))
    return TestTimeOptions(**{**content, "phases": phases})

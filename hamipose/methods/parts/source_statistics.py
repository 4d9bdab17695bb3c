"""The source's BatchNorm statistics beside a method's networks, whose own mix both domains."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hamipose.models.batchnorm import BatchNormStatistics, batchnorm_layers
from hamipose.models.pretrained.interface import FinetunableNetwork

__all__ = ["LACKS_STATISTICS", "SourceStatistics", "about_start", "about_statistics"]

#: Log message for a checkpoint of an earlier version.
LACKS_STATISTICS = (
    "The checkpoint was saved by an earlier version, without the source's BatchNorm statistics: "
    "val/… is measured with those of its network, which has seen the target."
)


def about_statistics(batchnorm: str | None) -> str:
    """Say which statistics the network will have that a user gets, for the log of a run that adapts.

    Args:
        batchnorm: the teacher's option; None for a method without a teacher.
    """
    whose = "the target" if batchnorm == "target" else "source and target"
    option = "" if batchnorm is None else f" (adaptation.batchnorm: {batchnorm})"
    return (
        f"BatchNorm: the network that a user gets normalizes with statistics of {whose}{option}; val/… is measured "
        "with the source's. How far the two are apart is logged as train/statistics_shift."
    )


def about_start(network: FinetunableNetwork, name: str) -> str:
    """Say what a pretrained network keeps in training, for the log.

    Args:
        network: that is trained.
        name: its name.
    """
    folded = " (they are folded into its convolutions)" if not batchnorm_layers(network) else ""
    lines = [f"BatchNorm: {name} keeps its own statistics{folded}; adaptation.batchnorm has no effect."]
    if lacks := network.missing_keypoints():
        lines.append(f"{name} has no row for {', '.join(lacks)}: these keypoints are not trained.")
    return " ".join(lines)


class SourceStatistics(nn.Module):
    """What source validation is measured with: the student's statistics of source batches, and the teacher's.

    The teacher's follow the student's as its own do: as a copy, or with ``batchnorm: average`` as a moving average.
    (A teacher with ``batchnorm: target`` makes no pass over the source; it gets the copy too.)

    Args:
        network: what the student's passes go through.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.student = BatchNormStatistics(network)
        self.teacher = BatchNormStatistics(network)

    def of(self, name: str) -> BatchNormStatistics | None:
        """Return those of the network of that name, as ``evaluated_networks()`` has it; None for other networks."""
        return {"student": self.student, "teacher": self.teacher}.get(name)

    def follow(self, decay: float) -> None:
        """Let the teacher's take one step of a moving average; with decay 0 copy them."""
        self.teacher.move_towards(self.student, decay)

    @contextmanager
    def applied_to(self, networks: Mapping[str, nn.Module]) -> Iterator[None]:
        """Let all networks that are known here normalize with these statistics meanwhile."""
        with ExitStack() as worn:
            for name, network in networks.items():
                if (statistics := self.of(name)) is not None:
                    worn.enter_context(statistics.applied_to(network))
            yield

    def start_from(self, state: Mapping[str, Any], network: nn.Module, all_of_it: nn.Module) -> None:
        """Begin as the statistics of a network that another run has trained.

        Args:
            state: of that run's checkpoint; where it has seen a target, it holds the source's statistics apart.
            network: the network, filled from it.
            all_of_it: with what the student's passes go through besides.
        """
        self.student.copy_from(all_of_it)
        if "source_statistics.student.mean" in state:
            of_network = BatchNormStatistics(network)
            of_network.assign(state["source_statistics.student.mean"], state["source_statistics.student.variance"])
            self.student.assign(of_network.mean, of_network.variance)
        self.follow(0.0)

    def fill(self, state: dict[str, Any], owner: nn.Module, network: nn.Module) -> bool:
        """Give the state of a checkpoint of an earlier version, which lacks these, its network's own statistics.

        Args:
            state: changed in place.
            owner: the module whose state it is.
            network: what the student's passes go through.

        Returns:
            Whether it lacked them.
        """
        if any(name.startswith("source_statistics.") for name in state):
            return False
        names = {module: name for name, module in owner.named_modules()}
        layers = [names[layer] for layer in batchnorm_layers(network)]
        for statistics in ("student", "teacher"):
            for mine, theirs in (("mean", "running_mean"), ("variance", "running_var")):
                parts: list[Tensor] = [state[key] for layer in layers if (key := f"{layer}.{theirs}") in state]
                name = f"source_statistics.{statistics}.{mine}"
                state[name] = torch.cat(parts) if parts else owner.state_dict()[name]
        return True

"""BatchNorm statistics of the source, kept apart from the networks' own, which mix both domains."""

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
    """Return a log message of a run that adapts: which statistics the user's network will have.

    Args:
        batchnorm: option of the teacher; None for a method without a teacher.
    """
    domains = "the target" if batchnorm == "target" else "source and target"
    option = "" if batchnorm is None else f" (adaptation.batchnorm: {batchnorm})"
    return (
        f"BatchNorm: the resulting network normalizes with statistics of {domains}{option}; val/… is measured "
        "with those of the source. Their distance is logged as train/statistics_shift."
    )


def about_start(network: FinetunableNetwork, name: str) -> str:
    """Return a log message: what a pretrained network keeps in training.

    Args:
        network: the network to train.
        name: name of the network.
    """
    folded = " (they are folded into its convolutions)" if not batchnorm_layers(network) else ""
    lines = [f"BatchNorm: {name} keeps its own statistics{folded}; adaptation.batchnorm has no effect."]
    if lacks := network.missing_keypoints():
        lines.append(f"{name} has no row for {', '.join(lacks)}: these keypoints are not trained.")
    return " ".join(lines)


class SourceStatistics(nn.Module):
    """BatchNorm statistics of source batches, of the student and of the teacher, used in source validation.

    The teacher's statistics are a copy of the student's or, with ``batchnorm: average``, their moving average. (A
    teacher with ``batchnorm: target`` makes no pass over the source; it gets the copy, too.)

    Args:
        network: the modules of the student's passes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.student = BatchNormStatistics(network)
        self.teacher = BatchNormStatistics(network)

    def of(self, name: str) -> BatchNormStatistics | None:
        """Return the statistics of a network by its name in ``evaluated_networks()``; None for other networks."""
        return {"student": self.student, "teacher": self.teacher}.get(name)

    def follow(self, decay: float) -> None:
        """Update the teacher's statistics by one step of a moving average; with decay 0, copy the student's."""
        self.teacher.move_towards(self.student, decay)

    @contextmanager
    def applied_to(self, networks: Mapping[str, nn.Module]) -> Iterator[None]:
        """Return a context manager in which student and teacher normalize with these statistics."""
        with ExitStack() as stack:
            for name, network in networks.items():
                if (statistics := self.of(name)) is not None:
                    stack.enter_context(statistics.applied_to(network))
            yield

    def start_from(self, state: Mapping[str, Any], network: nn.Module, student: nn.Module) -> None:
        """Initialize the statistics from a network that another run has trained.

        Args:
            state: state dict of that run's checkpoint; with adaptation it has separate statistics of the source.
            network: the network, filled from the checkpoint.
            student: the modules of the student's passes, which include the network.
        """
        self.student.copy_from(student)
        if "source_statistics.student.mean" in state:
            of_network = BatchNormStatistics(network)
            of_network.assign(state["source_statistics.student.mean"], state["source_statistics.student.variance"])
            self.student.assign(of_network.mean, of_network.variance)
        self.follow(0.0)

    def fill(self, state: dict[str, Any], owner: nn.Module, network: nn.Module) -> bool:
        """Add statistics to the state dict of an earlier version, which has none: the running ones of its network.

        Args:
            state: the state dict; changed in place.
            owner: the module of the state dict.
            network: the modules of the student's passes.

        Returns:
            Whether statistics were added.
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

"""Plots of the paper's discussion: errors against adaptation steps, and per joint."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hamipose.viz.html import encode_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_joint_errors", "plot_step_errors"]

_TITLES = {"mpjpe": "MPJPE, mm", "pa_mpjpe": "PA-MPJPE, mm", "pve": "PVE, mm", "error_2d": "2D error, px"}


def plot_step_errors(runs: Mapping[str, Mapping[str, Sequence[float]]]) -> bytes:
    """Plot a panel per error with a line per run; returns a PNG.

    Args:
        runs: name → error → its values after 0, 1, 2 … steps, as in ``scores-test.json``.
    """
    from matplotlib.figure import Figure

    errors = [key for key in _TITLES if all(key in run for run in runs.values())]
    figure = Figure(figsize=(4.4 * len(errors), 3.9), layout="constrained")
    for position, key in enumerate(errors, 1):
        axes = figure.add_subplot(1, len(errors), position)
        for name, run in runs.items():
            axes.plot(range(len(run[key])), run[key], label=name, linewidth=1.6, marker=".")
        axes.set_title(_TITLES[key])
        axes.set_xlabel("steps of adaptation")
        axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def plot_joint_errors(runs: Mapping[str, Mapping[str, Sequence[float]]]) -> bytes:
    """Plot MPJPE per joint before and after adaptation, a group of bars per joint; returns a PNG.

    Args:
        runs: name → joint → (before, after), as in ``scores-test.json``.
    """
    from matplotlib.figure import Figure

    joints = list(next(iter(runs.values())))
    figure = Figure(figsize=(11, 4.0), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(runs)
    for row, (name, run) in enumerate(runs.items()):
        places = [j + (row - (len(runs) - 1) / 2) * width for j in range(len(joints))]
        axes.bar(places, [run[joint][1] for joint in joints], width, label=f"{name}, after")
        axes.plot(places, [run[joint][0] for joint in joints], "k_", label="before" if row == 0 else None)
    axes.set_xticks(range(len(joints)), [joint.replace("_", "\n") for joint in joints], fontsize=7)
    axes.set_ylabel("MPJPE, mm")
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def _png(figure: "Figure") -> bytes:
    """Encode the figure as PNG, with the legend below the axes."""
    lines, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return encode_figure(figure)

"""Plots of the paper's discussion: errors against adaptation steps, and per joint."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hamipose.viz.figures import create_panels, encode_figure, fit_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_joint_errors", "plot_step_errors"]

_TITLES = {"mpjpe": "MPJPE, mm", "pa_mpjpe": "PA-MPJPE, mm", "pve": "PVE, mm", "error_2d": "2D error, px"}


def plot_step_errors(runs: Mapping[str, Mapping[str, Sequence[float]]]) -> bytes:
    """Plot a panel per error with a line per run; returns a PNG.

    Args:
        runs: name → error → its values after 0, 1, 2 … steps, as in ``scores-test.json``.
    """
    errors = [key for key in _TITLES if all(key in run for run in runs.values())]
    columns, below = fit_legend([*runs], 4.3 * len(errors))
    figure, panels = create_panels([_TITLES[key] for key in errors], "steps of adaptation", 3.6, left=0.5, below=below)
    for axes, key in zip(panels, errors, strict=True):
        for name, run in runs.items():
            axes.plot(range(len(run[key])), run[key], label=name, linewidth=1.6, marker=".")
        axes.locator_params(nbins=7)
    return _encode(figure, panels[0], columns)


def plot_joint_errors(runs: Mapping[str, Mapping[str, Sequence[float]]]) -> bytes:
    """Plot MPJPE per joint before and after adaptation, a group of bars per joint; returns a PNG.

    Args:
        runs: name → joint → (before, after), as in ``scores-test.json``.
    """
    joints = list(next(iter(runs.values())))
    names = [f"{name}, after" for name in runs]
    columns, below = fit_legend(["before", *names], 11.0)
    figure, (axes,) = create_panels([""], width=10.2, left=0.65, below=below)
    width = 0.8 / len(runs)
    for row, run in enumerate(runs.values()):
        places = [j + (row - (len(runs) - 1) / 2) * width for j in range(len(joints))]
        axes.bar(places, [run[joint][1] for joint in joints], width, label=names[row])
        axes.plot(places, [run[joint][0] for joint in joints], "k_", label="before" if row == 0 else None)
    axes.set_xticks(range(len(joints)), [joint.replace("_", "\n") for joint in joints], fontsize=7)
    axes.set_ylabel("MPJPE, mm", fontsize=9)
    axes.yaxis.set_label_coords(-0.04, 0.5)
    return _encode(figure, axes, columns)


def _encode(figure: "Figure", axes: "Axes", columns: int) -> bytes:
    """Encode the figure as PNG, with the legend of these axes at the bottom."""
    lines, names = axes.get_legend_handles_labels()
    figure.legend(lines, names, loc="lower center", ncols=columns, frameon=False, fontsize=8, borderaxespad=0.1)
    return encode_figure(figure)

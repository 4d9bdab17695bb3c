"""Plots as PNG: rows of axes at computed positions, legends below them, and curves."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["create_panels", "encode_figure", "estimate_text_width", "fit_legend", "plot_curves"]

_ABOVE = 0.36  # inches for the title
_LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 8}


def encode_figure(figure: "Figure") -> bytes:
    """Return a matplotlib figure as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def estimate_text_width(text: str, size: float = 8.0) -> float:
    """Return the approximate width of a line of text in inches; most lines are a little shorter."""
    return 0.6 * size / 72 * len(text)


def fit_legend(names: Sequence[str], width: float) -> tuple[int, float]:
    """Return the number of columns of a legend below the axes, and its height in inches.

    Args:
        names: names of its lines.
        width: available width in inches.
    """
    columns = max(1, min(len(names), int(width / (0.55 + max(map(estimate_text_width, names))))))
    return columns, 0.1 + 0.17 * -(-len(names) // columns)


def create_panels(
    titles: Sequence[str],
    x_label: str = "",
    width: float = 4.2,
    height: float = 2.75,
    left: float = 0.6,
    right: float = 0.2,
    below: float = 0.0,
) -> "tuple[Figure, list[Axes]]":
    """Return a figure with a row of axes, one per title.

    The sizes are computed rather than measured: matplotlib's layout engines draw every label several times, which takes
    longer than drawing the figure.

    Args:
        titles: titles of the axes.
        x_label: label of all x axes.
        width: width of the axes in inches.
        height: height of the axes in inches.
        left: margin at the left of the axes, for labels.
        right: margin at the right of the axes.
        below: additional margin at the bottom, for a legend.
    """
    from matplotlib.figure import Figure

    cell, bottom = left + width + right, 0.52 + below
    size = (cell * len(titles), _ABOVE + height + bottom)
    figure = Figure(figsize=size)
    panels = []
    for position, title in enumerate(titles):
        place = ((position * cell + left) / size[0], bottom / size[1], width / size[0], height / size[1])
        axes = figure.add_axes(place)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
        axes.set_title(title, fontsize=11, y=1.0)  # with y, its position is not measured
        axes.set_xlabel(x_label, fontsize=9)
        axes.xaxis.set_label_coords(0.5, -0.27 / height)
        panels.append(axes)
    return figure, panels


def plot_curves(
    panels: Mapping[str, Mapping[str, tuple[Sequence[int | float], Sequence[int | float]]]],
    log_scale: Sequence[str] = (),
    x_label: str = "step",
) -> bytes:
    """Return a row of line plots as a PNG; a line name has the same color in all panels.

    Args:
        panels: for each panel title, the lines by name as (x, y).
        log_scale: titles of the panels with a logarithmic y axis.
        x_label: label of all x axes.
    """
    width, height = 4.2, 2.75
    legends = {title: fit_legend([*lines], width) for title, lines in panels.items() if len(lines) > 4}
    below = max((tall for _, tall in legends.values()), default=0.0)
    figure, row = create_panels([*panels], x_label, width, height, below=below)
    colors = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(n for lines in panels.values() for n in lines))}
    for axes, (title, lines) in zip(row, panels.items(), strict=True):
        for name, (x, y) in lines.items():
            axes.plot(x, y, label=name, color=colors[name], linewidth=1.6, marker="." if len(x) < 12 else None)
        if title in log_scale:
            axes.set_yscale("log")
        elif lines:
            axes.locator_params(nbins=6)
            axes.ticklabel_format(axis="y", scilimits=(-3, 5))  # narrow labels
        if title in legends:  # below the panel, where they cover no line
            place = (0.5, -0.45 / height)
            axes.legend(ncols=legends[title][0], loc="upper center", bbox_to_anchor=place, borderaxespad=0, **_LEGEND)
        elif any(lines):
            axes.legend(**_LEGEND)
    return encode_figure(figure)

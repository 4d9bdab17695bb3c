"""A run told as one HTML file: a table, curves, pictures, no network needed to read it."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import UInt8

from hamipose.io.atomic_file import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["HtmlPage", "encode_figure", "plot_curves"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
div { overflow-x: auto; margin: 1rem 0 } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .3rem .55rem; text-align: right }
td:first-child, th:first-child { text-align: left; white-space: nowrap } tr:nth-child(even) { background: #f4f4f4 }
th { border-bottom: 2px solid #1a1a1a } img { max-width: 100%; height: auto } figure { margin: 1.5rem 0 }
figcaption { color: #555 } pre { background: #f4f4f4; padding: .8rem; overflow-x: auto }
"""


def encode_figure(figure: "Figure") -> bytes:
    """Return a matplotlib figure as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def plot_curves(
    panels: Mapping[str, Mapping[str, tuple[Sequence[int | float], Sequence[int | float]]]],
    log_scale: Sequence[str] = (),
) -> bytes:
    """A row of line plots as a PNG; a name has one color in all of them.

    Args:
        panels: panel title → line name → (x, y).
        log_scale: titles of the panels whose y axis is logarithmic.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(panels), 3.6), layout="constrained")
    colors = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(n for lines in panels.values() for n in lines))}
    for position, (title, lines) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(1, len(panels), position)
        for name, (x, y) in lines.items():
            axes.plot(x, y, label=name, color=colors[name], linewidth=1.6, marker="." if len(x) < 12 else None)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.spines[["top", "right"]].set_visible(False)
        if title in log_scale:
            axes.set_yscale("log")
        if len(lines) > 4:  # below, where they hide none
            axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.18))
        elif any(lines):
            axes.legend(frameon=False, fontsize=8)
    return encode_figure(figure)


@dataclass
class HtmlPage:
    """An HTML page put together from top to bottom and written once."""

    title: str
    body: list[str] = field(default_factory=list)

    def add_text(self, paragraph: str) -> None:
        """A paragraph of plain text."""
        self.body.append(f"<p>{html.escape(paragraph)}</p>")

    def add_heading(self, words: str) -> None:
        """A section heading."""
        self.body.append(f"<h2>{html.escape(words)}</h2>")

    def add_code(self, lines: str) -> None:
        """Text kept as it stands."""
        self.body.append(f"<pre>{html.escape(lines)}</pre>")

    def add_table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; the first column is aligned to the left, numbers to the right. A wide one scrolls by itself."""
        cells = "".join(f"<th>{html.escape(h)}</th>" for h in header)
        lines = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        self.body.append(f"<div><table><tr>{cells}</tr>{lines}</table></div>")

    def add_png(self, png: bytes, caption: str) -> None:
        """A PNG carried inside the page."""
        data = base64.b64encode(png).decode()
        words = html.escape(caption)
        self.body.append(
            f'<figure><img alt="{words}" src="data:image/png;base64,{data}"><figcaption>{words}</figcaption></figure>'
        )

    def add_image(self, pixels: UInt8[np.ndarray, "height width 3"], caption: str) -> None:
        """RGB pixels carried inside the page."""
        done, png = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        assert done
        self.add_png(png.tobytes(), caption)

    def write(self, path: Path) -> None:
        """Write the page, creating its folder."""
        title = html.escape(self.title)
        write_text(
            path,
            f'<!doctype html><html lang="en"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style>'
            f"<h1>{title}</h1>{''.join(self.body)}</html>\n",
        )

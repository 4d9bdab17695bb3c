"""Self-contained HTML pages with text, tables and images."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from hamipose.io.atomic_file import write_text

__all__ = ["HtmlPage"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
div { overflow-x: auto; margin: 1rem 0 } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .3rem .55rem; text-align: right }
td:first-child, th:first-child { text-align: left; white-space: nowrap } tr:nth-child(even) { background: #f4f4f4 }
th { border-bottom: 2px solid #1a1a1a } img { max-width: 100%; height: auto } figure { margin: 1.5rem 0 }
figcaption { color: #555 } pre { background: #f4f4f4; padding: .8rem; overflow-x: auto }
"""


@dataclass
class HtmlPage:
    """HTML page that is built from top to bottom.

    Attributes:
        title: heading of the page.
        body: HTML elements so far.
    """

    title: str
    body: list[str] = field(default_factory=list)

    def add_text(self, paragraph: str) -> None:
        """Add a paragraph of plain text."""
        self.body.append(f"<p>{html.escape(paragraph)}</p>")

    def add_heading(self, words: str) -> None:
        """Add a section heading."""
        self.body.append(f"<h2>{html.escape(words)}</h2>")

    def add_code(self, lines: str) -> None:
        """Add preformatted text."""
        self.body.append(f"<pre>{html.escape(lines)}</pre>")

    def add_table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table; the first column is aligned to the left, the others to the right. A wide table scrolls."""
        cells = "".join(f"<th>{html.escape(h)}</th>" for h in header)
        lines = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        self.body.append(f"<div><table><tr>{cells}</tr>{lines}</table></div>")

    def add_png(self, png: bytes, caption: str) -> None:
        """Add a PNG, embedded in the page."""
        data = base64.b64encode(png).decode()
        words = html.escape(caption)
        self.body.append(
            f'<figure><img alt="{words}" src="data:image/png;base64,{data}"><figcaption>{words}</figcaption></figure>'
        )

    def add_image(self, pixels: UInt8[np.ndarray, "height width 3"], caption: str) -> None:
        """Add an RGB image, embedded in the page."""
        done, png = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        assert done
        self.add_png(png.tobytes(), caption)

    def write(self, path: Path) -> None:
        """Write the page; its folder is created."""
        title = html.escape(self.title)
        write_text(
            path,
            f'<!doctype html><html lang="en"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style>'
            f"<h1>{title}</h1>{''.join(self.body)}</html>\n",
        )

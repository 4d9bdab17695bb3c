import base64
import re

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from hamipose.engine.metrics_file import read_metrics
from hamipose.viz.figures import plot_curves
from hamipose.viz.html import HtmlPage

pytestmark = pytest.mark.figures


def test_page_is_self_contained_and_escapes_text(tmp_path):
    page = HtmlPage("a < b")
    page.add_text("x & y")
    page.add_table(["method", "PCK"], [["<script>", "12.3"]])
    pixels = np.random.default_rng(0).integers(0, 255, (6, 9, 3), np.uint8)
    page.add_image(pixels, "an image")
    page.write(tmp_path / "new" / "report.html")
    text = (tmp_path / "new" / "report.html").read_text()
    assert "<script>" not in text
    assert "a &lt; b" in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    data = base64.b64decode(re.search(r"base64,([^\"]+)", text).group(1))
    back = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert (back == pixels).all()


def test_metrics_with_gaps_are_read(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,train/loss,val/pck\n1,0.5,\n2,0.25,\n2,,0.1\n")
    assert read_metrics(path) == {"train/loss": ([1, 2], [0.5, 0.25]), "val/pck": ([2], [0.1])}


def test_plot_curves_returns_a_png():
    png = plot_curves({"loss": {"sgd": ([0, 1], [1.0, 0.1])}, "energy": {}}, log_scale=["loss"])
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1] > 2 * image.shape[0]


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 9e4, 1e9])
def test_labels_are_inside_the_figure_and_panels_do_not_overlap(monkeypatch: pytest.MonkeyPatch, scale: float):
    figures: list[Figure] = []
    monkeypatch.setattr("hamipose.viz.figures.encode_figure", lambda figure: figures.append(figure) or b"")
    names = ["source only, statistics of the target", "mean teacher", *"abcdef"]
    line = ([0, 90_000], [-scale, 1.234 * scale])
    plot_curves({"step of the last layer, RMS": dict.fromkeys(names, line), "energy": dict.fromkeys(names[:2], line)})
    (figure,) = figures
    figure.draw_without_rendering()
    left, right = (axes.get_tightbbox() for axes in figure.axes)
    assert figure.bbox.x0 <= left.x0 < left.x1 < right.x0 < right.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= left.y0 < right.y0 < right.y1 <= figure.bbox.y1


def test_a_line_name_has_the_same_color_in_all_panels():
    line = ([0, 1], [1.0, 0.1])
    png = plot_curves({"loss": {"sgd": line, "adam": line}, "conflict": {"adam": line}})
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    right = image[:, image.shape[1] // 2 :].reshape(-1, 3)
    blue, orange = ((right == color).all(1).any() for color in ((0xB4, 0x77, 0x1F), (0x0E, 0x7F, 0xFF)))  # BGR
    assert orange
    assert not blue

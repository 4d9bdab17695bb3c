import base64
import re

import cv2
import numpy as np
import pytest

from hamipose.engine.metrics_file import read_metrics
from hamipose.viz.html import HtmlPage, plot_curves

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


def test_a_line_name_has_the_same_color_in_all_panels():
    line = ([0, 1], [1.0, 0.1])
    png = plot_curves({"loss": {"sgd": line, "adam": line}, "conflict": {"adam": line}})
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    right = image[:, image.shape[1] // 2 :].reshape(-1, 3)
    blue, orange = ((right == color).all(1).any() for color in ((0xB4, 0x77, 0x1F), (0x0E, 0x7F, 0xFF)))  # BGR
    assert orange
    assert not blue

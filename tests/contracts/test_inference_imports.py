"""Prediction is light: it loads neither Lightning nor albumentations."""

import subprocess
import sys
from pathlib import Path

import pytest

from hamipose.models.pretrained.catalog import PEOPLE

ROOT = Path(__file__).parents[2]
CHECK = """
heavy = {{"lightning", "pytorch_lightning", "albumentations"}}
print("loaded by {name}:", sorted(heavy & {{name.split(".")[0] for name in sys.modules}}))
"""

LOAD = """
import sys
import numpy as np
import hamipose
model = hamipose.load(device="cpu")
image = np.random.default_rng(0).integers(0, 255, (60, 50, 3), np.uint8)
(person,) = model.predict(image)
assert person.keypoints_px.shape == (len(model.skeleton), 2), person
"""

#: Modules that the verbs `predict`, `app` and `export` load when they run.
VERBS = """
import sys
import hamipose.app.response
import hamipose.inference.box_file
import hamipose.inference.detection
import hamipose.inference.export
import hamipose.inference.footage
import hamipose.inference.writers
"""

COMMAND = """
import sys
import cv2
import numpy as np
from hamipose.cli import main
cv2.imwrite("photo.png", np.random.default_rng(0).integers(0, 255, (60, 50, 3), np.uint8))
status = main(["predict", "photo.png", "--device", "cpu", "--out", "out", "--detector", "none"])
assert status == 0, status
"""


@pytest.mark.skipif(not PEOPLE.present, reason="this installation has no model")
def test_prediction_loads_neither_lightning_nor_albumentations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One process runs the parts in turn; after each, it prints which of these packages are loaded."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HAMIPOSE_CACHE", str(tmp_path / "cache"))  # so that the model in the package is loaded
    parts = {"load and predict": LOAD, "modules": VERBS, "predict verb": COMMAND}
    code = "".join(f"{part}{CHECK.format(name=name)}" for name, part in parts.items())
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = [line for line in result.stdout.splitlines() if line.startswith("loaded by ")]
    assert found == [f"loaded by {name}: []" for name in parts]

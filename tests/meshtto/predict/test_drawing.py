"""Written and drawn meshes use the fitted projection, with the cameras of both kinds of networks."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from meshtto.app import steps
from meshtto.camera import crop_box, full_from_crop
from meshtto.cli.predict import main
from meshtto.methods import Regression
from meshtto.methods.base import MeshMethod
from meshtto.methods.options import RegressorOptions, TestTimeOptions
from meshtto.methods.targets import crop_size
from meshtto.predict import drawing
from meshtto.predict.files import Files
from meshtto.predict.frames import Frame
from meshtto.predict.keypoints import Evidence
from meshtto.predict.recover import collate_crops, recover_people
from meshtto.predict.samples import person_sample
from meshtto.test_time import SGD, Phase
from meshtto.types import MeshSample

PHASES = [Phase(2, SGD(1e-3, clip_norm=1.0), pseudo_mesh=False)]


def method_of(kind: Any) -> MeshMethod:
    torch.manual_seed(0)
    options = RegressorOptions(kind=kind, backbone="test_resnet", width=16)
    method = Regression(torch.optim.Adam, options, test_time=TestTimeOptions(PHASES))
    method.hparams["crop"] = [64, 48]
    return method.eval()


@pytest.fixture(scope="module")
def shown() -> Frame:
    """Return a frame that is larger than the page's overlays, with odd sizes."""
    return Frame(np.random.default_rng(0).integers(0, 255, (701, 1003, 3), np.uint8), "a.png")


@pytest.fixture(scope="module")
def samples(shown: Frame) -> list[MeshSample]:
    """Return two people away from the image's center, one large and one small."""
    rng = np.random.default_rng(1)
    boxes = (np.array([[20.0, 10], [420, 690]]), np.array([[850.0, 420], [960, 640]]))
    people = [Evidence(rng.uniform(*box, (49, 2)).astype(np.float32), np.ones(49, np.float32)) for box in boxes]
    return [person_sample(shown, number, person) for number, person in enumerate(people)]


@pytest.mark.parametrize("kind", ["cliff", "hmr"])
def test_written_arrays_project_to_the_fitted_pixels(kind: str, samples: list[MeshSample]):
    method = method_of(kind)
    batch = collate_crops(method, samples)
    made = method.recover(batch, PHASES).prediction
    fitted = full_from_crop(made.keypoints_px, crop_box(batch), crop_size(batch)).numpy()
    for i, person in enumerate(recover_people(method, samples, PHASES)):
        assert person is not None
        arrays = person.arrays
        joints = arrays["joints_m"]
        seen = arrays["focal_px"] * joints[:, :2] / joints[:, 2:] + arrays["principal_px"]
        np.testing.assert_allclose(seen, fitted[i], atol=0.01)
        np.testing.assert_allclose(arrays["keypoints_px"], fitted[i], atol=0.01)
        vertices = made.vertices_m[i].numpy() + arrays["translation_m"]
        np.testing.assert_allclose(arrays["vertices_m"], vertices, atol=1e-4)


def painted(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Record the pixels of painted vertices, person by person."""
    found: list[np.ndarray] = []

    def paint_mesh(image: Any, pixels: np.ndarray, vertices_m: Any, faces: Any, **options: Any) -> Any:
        found.append(pixels)
        return image

    monkeypatch.setattr(drawing, "paint_mesh", paint_mesh)
    return found


def fitted_vertices(method: MeshMethod, samples: list[MeshSample], phases: list[Phase]) -> list[np.ndarray]:
    """Return each person's vertices in pixels of the image, projected by the fitted camera."""
    batch = collate_crops(method, samples)
    made, box, size = method.recover(batch, phases).prediction, crop_box(batch), crop_size(batch)
    pixels = method.regressor.camera.project(made.vertices_m, made.camera, box, size)
    return list(full_from_crop(pixels, box, size).numpy())


def same_sets(found: list[np.ndarray], wanted: list[np.ndarray], atol: float) -> bool:
    """Return whether both contain the same people in any order."""
    left = list(wanted)
    for one in found:
        near = [k for k, other in enumerate(left) if np.abs(one - other).max() < atol]
        if not near:
            return False
        del left[near[0]]
    return not left


@pytest.mark.parametrize("kind", ["cliff", "hmr"])
def test_overlay_shows_the_fitted_projection(
    kind: str, shown: Frame, samples: list[MeshSample], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    method = method_of(kind)
    wanted = fitted_vertices(method, samples, PHASES)
    people = [person for person in recover_people(method, samples, PHASES) if person is not None]
    found = painted(monkeypatch)
    faces = method.body.faces.numpy()
    Files(tmp_path, faces, True, False).overlay(shown, people)
    assert same_sets(found, wanted, 0.01)

    found.clear()
    steps.adapt_and_draw(method, shown, samples, PHASES, tmp_path, side=400)
    scale = np.array([400 / 1003, 280 / 701])
    by_steps = [[], [Phase(1, PHASES[0].rule, pseudo_mesh=False)], PHASES]
    for step, phases in enumerate(by_steps):
        smaller = [(pixels + 0.5) * scale - 0.5 for pixels in fitted_vertices(method, samples, phases)]
        assert same_sets(found[2 * step : 2 * step + 2], smaller, 0.01)


def test_overlay_draws_the_nearest_person_last(monkeypatch: pytest.MonkeyPatch):
    """The nearer person covers the farther one for any focal lengths of the cameras."""
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    near = drawing.Figure(corners + np.array([0, 0, 40]), 4000.0, np.zeros(2))
    far = drawing.Figure(corners + np.array([0, 0, 30]), 1000.0, np.zeros(2))
    found = painted(monkeypatch)
    drawing.overlay(np.zeros((8, 8, 3), np.uint8), [near, far], np.array([[0, 1, 2]]))
    np.testing.assert_array_equal(found[-1], near.pixels)


def test_focal_is_rejected_for_hmr(get_error: Any, tmp_path: Path):
    method = method_of("hmr")
    torch.save({"state_dict": method.state_dict(), "hyper_parameters": dict(method.hparams)}, tmp_path / "hmr.ckpt")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 30, 3), np.uint8))
    words = [tmp_path / "a.png", "--checkpoint", tmp_path / "hmr.ckpt", "--out", tmp_path / "out"]
    assert "--focal 300 is given, but a network of kind hmr uses its own camera" in get_error(
        "predict", *words, "--focal", 300
    )
    main(["--no-keypoints", *(str(word) for word in words)])
    arrays = np.load(tmp_path / "out" / "a-0.npz")
    np.testing.assert_allclose(arrays["principal_px"], arrays["box_center_px"], rtol=1e-6)

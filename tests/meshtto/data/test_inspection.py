"""`data check` and `data show`, and `body show`, from the command line."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from meshtto.body.painter import paint_mesh
from meshtto.cli import main
from meshtto.data.inspection import fit_translation


def lspet(root: Path, count: int = 3) -> Path:
    joints = np.random.default_rng(0).uniform(5, 35, (14, 3, count))
    joints[:, 2] = 1
    scipy.io.savemat(root / "joints.mat", {"joints": joints})
    (root / "images").mkdir(exist_ok=True)
    for i in range(1, count + 1):
        cv2.imwrite(str(root / "images" / f"im{i:05d}.jpg"), np.full((40, 40, 3), 90, np.uint8))
    return root


def test_show_writes_a_row_per_person(tmp_path: Path, capsys):
    out = tmp_path / "sheet.png"
    asked = ["data", "show", "lspet", "--root", str(lspet(tmp_path)), "--out", str(out), "--count", "2"]
    assert main([*asked, "--height", "64", "--width", "48"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    sheet = cv2.imread(str(out))
    assert sheet.shape == (2 * 64 + 4, 5 * 48 + 4 * 4, 3)
    orange, gray = np.array([0, 159, 230]), np.array([90, 90, 90])  # OpenCV's order of colors
    first = sheet[20:64, :48].reshape(-1, 3).astype(int)
    assert (np.abs(first - orange).max(1) < 40).any()  # a left limb
    assert (np.abs(first - gray).max(1) < 5).any()


def test_check_reports_present_and_missing_files(tmp_path: Path, capsys):
    assert main(["data", "check", "lspet", "--root", str(lspet(tmp_path))]) == 2
    output = capsys.readouterr()
    assert "3 of 10000" in output.out
    assert "3 people" in output.out
    assert "not usable" in output.out  # the test split starts after 3600 people
    assert "sam.johnson.io" in output.out
    assert output.err.startswith("error: lspet in")
    assert main(["data", "check", "3dpw", "--root", str(tmp_path)]) == 2
    assert "virtualhumans" in capsys.readouterr().out
    for asked, message in (
        (["data", "check", "builtin"], "built-in images are rendered on demand"),
        (["data", "check", "spin"], "--file is not given"),
        (["data", "check", "nothing"], "invalid choice"),
        (["data", "check", "lspet", "--mosh", "m"], "--mosh only applies to h36m"),
        (["data", "check", "lspet", "--body", "b"], "--body does not apply to checking lspet"),
        (["data", "show", "lspet", "--out", "x.png", "--style", "plain"], "--style only applies to builtin"),
        (["data", "show", "builtin", "--out", "x.png", "--split", "test"], "leave out --body and --split"),
        (["data", "show", "lspet", "--out", "x.txt"], "--out is x.txt"),
        (["data", "show", "lspet", "--out", "x.png", "--count", "0"], "--count: 0 is too small"),
        (["data", "show", "lspet", "--out", "x.png", "--split", "dev"], "split is 'dev'"),
        (["body", "show", "--out", "x.txt"], "--out is x.txt"),
        (["body", "show", "--body", "nowhere.st", "--out", "x.png"], "nowhere.st does not exist"),
    ):
        assert main(asked) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_fit_translation_recovers_the_translation():
    rng = np.random.default_rng(0)
    joints, true, principal = rng.normal(0, 0.5, (20, 3)), np.array([0.3, -0.2, 4.0]), np.array([99.5, 79.5])
    placed = joints + true
    pixels = 500 * placed[:, :2] / placed[:, 2:] + principal
    weights = np.ones(20)
    assert np.allclose(fit_translation(joints, pixels, weights, 500.0, principal), true)
    pixels[3] += 100
    weights[3] = 0
    assert np.allclose(fit_translation(joints, pixels, weights, 500.0, principal), true)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_paint_mesh_draws_nearer_faces_last(order: list[int]):
    """Paint two squares of two triangles each, one behind the other, and one that faces away."""
    square = np.array([[0.0, 0], [0, 10], [10, 10], [10, 0]])
    pixels = np.concatenate([square + 5, square + 10, square + 30])
    depth = np.repeat([2.0, 1.0, 1.0], 4)
    vertices = np.column_stack([pixels / 50, depth])
    vertices[4:8, 2] -= vertices[4:8, 0] * 3  # tilted, so that it has another brightness
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7], [8, 10, 9], [8, 11, 10]])
    faces[:4] = faces[:4].reshape(2, 2, 3)[order].reshape(4, 3)
    image = np.full((50, 50, 3), 255, np.uint8)
    painted = paint_mesh(image, pixels, vertices, faces)
    assert (image == 255).all()
    far, near, both, away = painted[7, 7], painted[18, 18], painted[13, 13], painted[35, 35]
    assert (near == both).all()
    assert (near != far).any()
    assert (away == 255).all()
    half = paint_mesh(image, pixels, vertices, faces, 0.5)[7, 7]
    assert np.allclose(half, (far.astype(int) + 255) / 2, atol=1)


def test_body_previews_have_the_expected_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from meshtto.body import load_body, preview

    monkeypatch.setattr(preview, "paint_mesh", lambda image, pixels, vertices, faces: image)  # the slow part
    assert preview.preview_shapes(load_body(), directions=2, side=20).shape == (40, 140, 3)
    assert preview.preview_poses(load_body(), count=6, side=20).shape == (40, 100, 3)

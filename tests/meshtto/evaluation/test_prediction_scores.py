"""Other people's predictions under our protocol, and the plots."""

from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from hamipose.errors import UserError
from meshtto.body import load_body
from meshtto.data.base import MeshDataset
from meshtto.data.sampling import collate, crop_sample
from meshtto.evaluation import prediction_scores
from meshtto.evaluation.plots import plot_joint_errors, plot_step_errors
from meshtto.evaluation.prediction_scores import evaluate, read_predictions
from meshtto.evaluation.scores import Scores
from meshtto.joints import EVALUATION14, JOINTS49
from meshtto.types import BodyPrediction, MeshSample

pytestmark = pytest.mark.figures

COUNT = 5


class Labeled(MeshDataset):
    """Meshes without pictures."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.pose = 0.3 * torch.randn(COUNT, 72, generator=generator)
        self.rotations = roma.rotvec_to_rotmat(self.pose.view(-1, 24, 3))
        self.shape = torch.randn(COUNT, 10, generator=generator)
        made = load_body()(self.rotations, self.shape)
        self.vertices, self.joints = made.vertices_m, made.joints_m

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> MeshSample:
        ones, points = np.ones(49, np.float32), np.zeros((49, 2), np.float32)
        return MeshSample(
            image=np.zeros((4, 4, 3), np.uint8),
            box_px=np.array([0.0, 0, 4, 4]),
            name=str(index),
            keypoints_px=points,
            keypoints_confidence=ones,
            evidence_px=points,
            evidence_confidence=ones,
            joints_m=(self.joints[index] - self.joints[index, JOINTS49.index("pelvis")]).numpy(),
            joints_confidence=ones,
            rotations=self.rotations[index].numpy(),
            shape=self.shape[index].numpy(),
            has_mesh=True,
            image_size=np.array([4, 4], np.float32),
            focal_px=5.0,
        )


@pytest.fixture(scope="module")
def labeled() -> Labeled:
    return Labeled()


def scores(labeled: Labeled, path: Path, **arrays: np.ndarray) -> dict:
    np.savez(path, **arrays)
    return evaluate(read_predictions(path, labeled), labeled)


def test_evaluate_ground_truth_in_any_format_has_zero_error(labeled: Labeled, tmp_path: Path):
    shape, body = labeled.shape.numpy(), load_body()
    joints = body.evaluation_joints(labeled.vertices).numpy()
    for name, arrays, count in (
        ("vertices", {"vertices_m": labeled.vertices.numpy()}, 3),
        ("rotations", {"rotations": labeled.rotations.numpy(), "shape": shape}, 3),
        ("pose", {"pose": labeled.pose.numpy(), "shape": shape}, 3),
        ("joints", {"joints_m": joints}, 2),  # no PVE without vertices
    ):
        found = scores(labeled, tmp_path / f"{name}.npz", **arrays)
        assert len(found["errors_mm"]) == count
        assert max(found["errors_mm"].values()) < 0.05, name
        assert found["protocol"]["joints"].startswith("14")


def test_evaluate_translation_affects_only_pve_and_rotation_not_pa_mpjpe(labeled: Labeled, tmp_path: Path):
    vertices = labeled.vertices.numpy()
    found = scores(labeled, tmp_path / "a.npz", vertices_m=vertices + np.float32([0.1, 0, 0]))["errors_mm"]
    assert found["pve"] == pytest.approx(100, abs=0.1)
    assert found["mpjpe"] < 0.1
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.5, 0.0])).numpy()
    found = scores(labeled, tmp_path / "b.npz", vertices_m=vertices @ turn.T)["errors_mm"]
    assert found["pa_mpjpe"] < 0.1
    assert found["mpjpe"] > 20


def test_read_predictions_sorts_rows_by_index(labeled: Labeled, tmp_path: Path):
    order = np.array([3, 0, 4, 1, 2])
    found = scores(labeled, tmp_path / "a.npz", vertices_m=labeled.vertices.numpy()[order], index=order)
    assert found["errors_mm"]["pve"] < 0.05
    assert scores(labeled, tmp_path / "b.npz", vertices_m=labeled.vertices.numpy()[order])["errors_mm"]["pve"] > 10


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros(3)}, "expected vertices_m, joints_m"),
        ({"shape": np.zeros((COUNT, 10))}, "expected vertices_m, joints_m"),
        ({"joints_m": np.zeros((COUNT, 17, 3))}, r"expected \(5, 14, 3\)"),
        ({"joints_m": np.zeros((COUNT - 1, 14, 3))}, r"expected \(5, 14, 3\)"),
        ({"joints_m": np.full((COUNT, 14, 3), np.nan)}, "not finite"),
        ({"joints_m": np.zeros((COUNT, 14, 3)), "index": np.zeros(COUNT, int)}, "each of the 5 people once"),
        ({"vertices_m": np.zeros((COUNT, 6890, 3))}, "6890 vertices, the body builtin 13718"),
    ],
)
def test_read_predictions_rejects_invalid_files(labeled: Labeled, tmp_path: Path, arrays: dict, message: str):
    with pytest.raises(UserError, match=message):
        scores(labeled, tmp_path / "a.npz", **arrays)


def test_evaluate_rejects_labels_of_another_body(labeled: Labeled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Their coefficients would be those of some other person, and the figures plausible."""
    monkeypatch.setattr(Labeled, "label_body", "SMPL")
    np.savez(tmp_path / "a.npz", joints_m=np.zeros((COUNT, 14, 3)))
    with pytest.raises(UserError, match="labels of Labeled belong to the body SMPL, --body builtin is builtin"):
        evaluate(read_predictions(tmp_path / "a.npz", labeled), labeled)


def without(labeled: Labeled, monkeypatch: pytest.MonkeyPatch, **unknown: list[str]) -> None:
    """No meshes; joints a meter aside, and of some people not all of them known."""
    whole = Labeled.__getitem__

    def item(self: Labeled, index: int) -> MeshSample:
        sample = whole(self, index)
        sample.has_mesh, sample.joints_m = False, sample.joints_m + np.float32([1, 0, 0])
        for name in unknown.get(f"of_{index}", []):
            sample.joints_confidence[JOINTS49.index(name)] = 0
            sample.joints_m[JOINTS49.index(name)] = 0
        return sample

    monkeypatch.setattr(Labeled, "__getitem__", item)


def test_evaluate_uses_labeled_joints_if_all_are_known(
    labeled: Labeled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """And with the very errors that a run's own evaluation has."""
    without(labeled, monkeypatch, of_1=["pelvis"], of_3=["left_knee"])
    vertices = labeled.vertices.numpy() + np.float32(0.001) * np.arange(COUNT, dtype=np.float32)[:, None, None]
    found = scores(labeled, tmp_path / "a.npz", vertices_m=vertices)["errors_mm"]
    assert set(found) == {"mpjpe", "pa_mpjpe"}
    assert found["mpjpe"] < 60  # the set's joints are not quite those regressed from the mesh
    method = Scores("val", 0)
    batch = collate([crop_sample(labeled[i], (4, 4), index=i) for i in range(COUNT)])
    nothing = torch.zeros(COUNT, 49, 3)
    seen = BodyPrediction(
        batch.rotations, batch.shape, nothing[:, 0], torch.from_numpy(vertices), nothing, nothing[..., :2]
    )
    method.update(0, seen, batch, torch.from_numpy(vertices), load_body())
    assert {name: curve[0] for name, curve in method.curves().items() if name in found} == pytest.approx(
        found, abs=1e-3
    )


def test_evaluate_loads_each_gender_once(labeled: Labeled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    loaded = []
    monkeypatch.setattr(prediction_scores, "load_body", lambda *given: loaded.append(given) or load_body(*given))
    scores(labeled, tmp_path / "a.npz", vertices_m=labeled.vertices.numpy())
    assert len(loaded) == 1


def test_evaluate_protocol_marks_unknown_sources(labeled: Labeled, tmp_path: Path):
    protocol = scores(labeled, tmp_path / "a.npz", vertices_m=labeled.vertices.numpy())["protocol"]
    assert protocol["evidence"] == protocol["boxes"] == "unknown: external predictions"


def test_read_predictions_rejects_pickles(labeled: Labeled, tmp_path: Path):
    np.savez(tmp_path / "a.npz", joints_m=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="contains Python objects, not plain arrays"):
        read_predictions(tmp_path / "a.npz", labeled)


def test_plots_are_png_images():
    run = {"mpjpe": [3.0, 2.0], "pa_mpjpe": [2.0, 1.0], "pve": [4.0, 3.0], "error_2d": [1.0, 0.5]}
    joints = dict.fromkeys(EVALUATION14, (3.0, 2.0))
    for png in (plot_step_errors({"a": run, "b": run}), plot_joint_errors({"a": joints})):
        assert png.startswith(b"\x89PNG")

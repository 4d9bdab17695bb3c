from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from hamipose.errors import UserError
from hamipose.gating import pull_back
from hamipose.heatmaps import encode
from hamipose.models.model_io import ModelInfo, read_model_folder, save_model_folder
from hamipose.models.preprocess import normalize
from hamipose.models.pretrained.convert import convert_graph
from hamipose.models.pretrained.mediapipe import BlazePose, centroid, read_landmark_network
from hamipose.models.pretrained.operations import OperationNetwork
from hamipose.models.pretrained.tflite import TFLiteGraph
from hamipose.skeletons import BLAZEPOSE33, BODY16, COCO17, LSP14
from tests.helpers.tflite_files import TFLiteFile, write_landmark_model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pose_landmark_tiny.tflite"
    path.write_bytes(write_landmark_model())
    return path


@pytest.fixture
def network(file: Path) -> BlazePose:
    return read_landmark_network(file)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 256, 256), dtype=torch.uint8)


def raw_outputs(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return landmarks and logits of the file for bytes, computed without BlazePose."""
    graph = TFLiteGraph(write_landmark_model())
    landmarks, heatmaps = (f"t{tensor}" for tensor in graph.outputs)
    found = OperationNetwork(*convert_graph(graph))(images.float() / 255, (landmarks, heatmaps))
    return found[landmarks].detach().reshape(len(images), 39, 5), found[heatmaps].detach()


def test_network_reads_image_bytes_and_matches_rows_by_name(network: BlazePose, images: torch.Tensor):
    """The network reads the crop shifted by two pixels, so that its cells coincide with ours."""
    seen = F.pad(images, (-2, 2, -2, 2))
    landmarks, logits = raw_outputs(seen)
    torch.testing.assert_close(network.logits(normalize(images)).detach(), logits[:, :33], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network(normalize(images)).detach(), logits[:, :33].sigmoid(), rtol=1e-4, atol=1e-4)
    # A landmark of 0 is the input's edge, which is 1.5 pixels right of the center of the crop's first pixel.
    torch.testing.assert_close(
        network.alignment(normalize(images)).detach(), landmarks[:, 33:35, :2] + 1.5, rtol=1e-4, atol=1e-3
    )
    network.select(COCO17)
    rows = [BLAZEPOSE33.index(name) for name in COCO17.keypoints]
    assert rows[:3] == [0, 2, 5]
    torch.testing.assert_close(network(normalize(images)).detach(), logits[:, rows].sigmoid(), rtol=1e-4, atol=1e-4)


def test_keypoints_without_rows_are_derived_or_have_zero_confidence(network: BlazePose, images: torch.Tensor):
    network.select(BODY16)
    points, confidence = network.decode(network(normalize(images)).detach())
    for name, pair in (("pelvis", ("left_hip", "right_hip")), ("thorax", ("left_shoulder", "right_shoulder"))):
        k, sides = BODY16.index(name), BODY16.indices(pair)
        torch.testing.assert_close(points[:, k], points[:, sides].mean(1))
        torch.testing.assert_close(confidence[:, k], confidence[:, sides].amin(1))
        assert float(confidence[:, k].min()) > 0.01
    for name in ("head", "neck"):
        assert float(confidence[:, BODY16.index(name)].max()) < 1e-5
    # A trained row is read like any other.
    torch.nn.init.constant_(network.final.weight[BODY16.index("pelvis")], 1.0)
    heatmaps = network(normalize(images)).detach()
    trained, _ = network.decode(heatmaps)
    torch.testing.assert_close(trained[:, BODY16.index("pelvis")], centroid(heatmaps)[0][:, BODY16.index("pelvis")])


def test_body_skeletons_have_limb_joints():
    for skeleton in (COCO17, BODY16, LSP14):
        assert set(skeleton.all) <= set(BLAZEPOSE33.keypoints)
    assert set(COCO17.keypoints) <= set(BLAZEPOSE33.keypoints)


def test_centroid_locates_a_gaussian():
    truth = torch.tensor([[[40.3, 81.9], [130.0, 200.4], [90.0, 60.0]]])
    heatmaps = encode(truth, (256, 256), sigma=1.0)
    heatmaps[0, 1, 10, 10] = 0.9  # a lower, distant peak has no influence
    points, peaks = centroid(heatmaps)
    torch.testing.assert_close(points, truth, rtol=0, atol=0.05)
    assert float(peaks.min()) > 0.85
    corner = torch.zeros(1, 1, 64, 64)
    corner[..., 0, 63] = 0.5
    points, peaks = centroid(corner)
    torch.testing.assert_close(points[0, 0], torch.tensor([63 * 4 + 1.5, 1.5]))
    assert float(peaks) == 0.5
    points, peaks = centroid(torch.zeros(1, 1, 64, 64))
    assert torch.isfinite(points).all()
    assert float(peaks) == 0


def test_gate_gradient_equals_gradient_of_last_layer_rows(network: BlazePose, images: torch.Tensor):
    features = network.features(normalize(images))
    logits = network.final(features)
    loss = F.binary_cross_entropy_with_logits(logits, torch.rand_like(logits), reduction="sum")
    (grad,) = torch.autograd.grad(loss, logits, retain_graph=True)
    loss.backward()
    assert network.final.weight.grad is not None
    assert network.final.bias.grad is not None
    rows = torch.cat([network.final.weight.grad.flatten(1), network.final.bias.grad[:, None]], 1)
    assert rows.shape == (33, network.feature_channels + 1)
    torch.testing.assert_close(pull_back(grad, features.detach()), rows, rtol=1e-4, atol=1e-3)


def test_separate_alignment_keeps_all_outputs_and_shares_no_layer(network: BlazePose, images: torch.Tensor):
    images = normalize(images)
    before = network.features(images), network.alignment(images), network(images)
    shared = network.body.parameters_of((network.program.outputs["landmarks"],))
    assert set(shared) & set(network.body.parameters_of((network.program.outputs["features"],)))
    for _ in range(2):
        network.separate_alignment()
        after = network.features(images), network.alignment(images), network(images)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        landmarks, features = (
            network.body.parameters_of((network.program.outputs[n],)) for n in ("landmarks", "features")
        )
        assert not set(landmarks) & set(features)
        assert len(landmarks) == len(shared)
    with torch.no_grad():
        for parameter in network.layers("all"):
            parameter += 0.1
    assert torch.equal(network.alignment(images), before[1])


def test_model_folder_restores_the_network(network: BlazePose, images: torch.Tensor, tmp_path: Path):
    info = ModelInfo("coco17", "blazepose-tiny", (), 256, "MediaPipe", architecture="blazepose")
    folder = save_model_folder(tmp_path / "model", network.select(COCO17), info)
    assert sorted(p.name for p in folder.iterdir()) == ["config.yaml", "model.safetensors", "operations.json"]
    opened, about = read_model_folder(folder)
    assert about == info
    torch.testing.assert_close(opened(normalize(images)), network(normalize(images)), rtol=0, atol=0)
    (folder / "operations.json").unlink()
    with pytest.raises(UserError, match=r"operations\.json cannot be read"):
        read_model_folder(folder)


def test_other_networks_are_rejected(tmp_path: Path):
    small = TFLiteFile((1, 8, 8, 3))
    out = small.add("LOGISTIC", [small.input], (1, 8, 8, 3))
    path = tmp_path / "other.tflite"
    path.write_bytes(small.content([out]))
    with pytest.raises(UserError, match=r"outputs of shapes \(1, 8, 8, 3\); expected a pose landmark network"):
        read_landmark_network(path)

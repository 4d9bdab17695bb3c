"""Crops and augmentation: an augmented image is a valid image of the virtual camera."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from roma import random_rotmat

from hamipose.errors import UserError
from hamipose.geometry.affine import apply_points
from meshtto.body import Body, load_body
from meshtto.data.augmentation import Augmentation, AugmentationParams, mirror_rotations, scale_channels
from meshtto.data.crop_geometry import compute_crop
from meshtto.data.occluders import add_occluders, draw_occluder, paste, read_occluders
from meshtto.data.sampling import crop_sample
from meshtto.joints import JOINTS49, MIRROR49
from meshtto.types import MeshBatch, MeshSample

SIZE = (256, 192)
IMAGE = np.array([320.0, 240.0])
draws = st.builds(
    AugmentationParams,
    mirror=st.booleans(),
    rotation_deg=st.floats(-60, 60),
    scale=st.floats(0.75, 1.25),
    channels=st.just(np.ones(3)),
)


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


def person(body: Body) -> tuple[MeshSample, torch.Tensor]:
    """Return a sample with all labels, and the translation of its mesh in front of the camera."""
    rotations, shape = random_rotmat((1, 24)), torch.randn(1, 10)
    translation = torch.tensor([[0.4, -0.2, 3.5]])
    joints = body(rotations, shape, translation).joints_m[0].numpy()
    focal = 280.0
    pixels = focal * joints[:, :2] / joints[:, 2:] + (IMAGE - 1) / 2
    low, high = pixels.min(0), pixels.max(0)
    sample = MeshSample(
        image=np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8),
        box_px=np.array([*low, *(high - low)]),
        name="somebody",
        keypoints_px=pixels.astype(np.float32),
        keypoints_confidence=np.linspace(0.1, 1, 49).astype(np.float32),
        evidence_px=pixels.astype(np.float32) + 1,
        evidence_confidence=np.linspace(0, 0.9, 49).astype(np.float32),
        joints_m=(joints - joints[JOINTS49.index("pelvis")]).astype(np.float32),
        joints_confidence=np.linspace(1, 0, 49).astype(np.float32),
        rotations=rotations[0].numpy(),
        shape=shape[0].numpy(),
        has_mesh=True,
        image_size=IMAGE.astype(np.float32),
        focal_px=focal,
    )
    return sample, translation


def project_into_crop(body: Body, crop: MeshBatch, translation: torch.Tensor) -> torch.Tensor:
    """Project the labeled mesh by the virtual camera to the upright crop, as the types describe."""
    joints = body(crop.rotations, crop.shape, translation).joints_m[0]
    virtual = crop.focal_px * joints[:, :2] / joints[:, 2:] + (crop.image_size - 1) / 2
    middle = (torch.tensor([SIZE[1], SIZE[0]]) - 1) / 2
    return (virtual - crop.center_px) * SIZE[0] / crop.side_px + middle


def virtual_translation(
    body: Body, sample: MeshSample, translation: torch.Tensor, params: AugmentationParams
) -> torch.Tensor:
    """Return the translation of the mirrored and rotated body, which rotates about its rest pelvis."""
    pelvis = body(torch.from_numpy(sample.rotations)[None], torch.from_numpy(sample.shape)[None]).skeleton_m[:, 0]
    placed = (pelvis + translation) * torch.tensor([-1.0 if params.mirror else 1.0, 1, 1])
    turn = np.deg2rad(params.rotation_deg)
    about = torch.tensor([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]).float()
    return placed @ about.T - pelvis


@settings(max_examples=12, deadline=None)
@given(params=draws)
def test_augmented_mesh_projects_onto_augmented_keypoints(body: Body, params: AugmentationParams):
    torch.manual_seed(1)
    sample, translation = person(body)
    crop = crop_sample(sample, SIZE, params)
    projected = project_into_crop(body, crop, virtual_translation(body, sample, translation, params))
    torch.testing.assert_close(projected, crop.keypoints_px[0], atol=2e-2, rtol=0)
    joints = body(crop.rotations, crop.shape).joints_m
    joints = joints - joints[:, JOINTS49.index("pelvis")][:, None]
    torch.testing.assert_close(joints, crop.joints_m, atol=3e-5, rtol=0)


@settings(max_examples=12, deadline=None)
@given(params=draws)
def test_crop_matrix_maps_keypoints_and_confidence(body: Body, params: AugmentationParams):
    torch.manual_seed(2)
    sample, _ = person(body)
    crop = crop_sample(sample, SIZE, params)
    order = list(MIRROR49) if params.mirror else list(range(49))
    matrix = crop.matrix[0].double().numpy()
    for pixels, confidence, moved, kept in (
        (sample.keypoints_px, sample.keypoints_confidence, crop.keypoints_px, crop.keypoints_confidence),
        (sample.evidence_px, sample.evidence_confidence, crop.evidence_px, crop.evidence_confidence),
    ):
        expected = apply_points(matrix, pixels.astype(np.float64))[order]
        assert np.allclose(moved[0].numpy(), expected, atol=2e-2)
        assert np.array_equal(kept[0].numpy(), confidence[order])
    assert np.array_equal(crop.joints_confidence[0].numpy(), sample.joints_confidence[order])


def test_crop_matrix_maps_the_image(body: Body):
    """A bright dot is where the matrix maps it, also for an image decoded at half its size."""
    sample, _ = person(body)
    at = np.round(sample.box_px[:2] + sample.box_px[2:] / 2 + 3)
    image = np.zeros((240, 320, 3), np.uint8)
    cv2.circle(image, (int(at[0]), int(at[1])), 3, (255, 255, 255), -1)
    params = AugmentationParams(True, 20.0, 1.1, np.ones(3))
    for reduction in (1, 2):
        small = cv2.resize(image, None, fx=1 / reduction, fy=1 / reduction, interpolation=cv2.INTER_AREA)
        crop = crop_sample(replace(sample, image=small, reduction=reduction), SIZE, params)
        bright = crop.image[0, 0].double()
        rows, columns = torch.meshgrid(*(torch.arange(n).double() for n in SIZE), indexing="ij")
        actual = [float((bright * axis).sum() / bright.sum()) for axis in (columns, rows)]
        expected = apply_points(crop.matrix[0].double().numpy(), at[None])[0]
        pixel = reduction * SIZE[0] / float(crop.side_px)  # of the decoded image; half of one would be a shift
        assert np.allclose(actual, expected, atol=0.1 * pixel)


def test_compute_crop_equals_cliff_and_spin_boxes():
    """CLIFF: b = max(4/3 w, h) fills the height of 256 × 192. SPIN: b = max(w, h) fills a square."""
    wide, tall = np.array([10.0, 20, 90, 60]), np.array([10.0, 20, 60, 90])
    assert compute_crop(wide, IMAGE, (256, 192)).side_px == pytest.approx(120)
    assert compute_crop(tall, IMAGE, (256, 192)).side_px == pytest.approx(90)
    assert compute_crop(wide, IMAGE, (224, 224)).side_px == pytest.approx(90)
    framing = compute_crop(tall, IMAGE, (256, 192))
    assert framing.center_px.tolist() == pytest.approx([39.5, 64.5])  # of pixels 10 … 69 and 20 … 109
    assert apply_points(framing.matrix, framing.center_px[None])[0].tolist() == pytest.approx([95.5, 127.5])


def test_mirroring_is_an_involution():
    rotations = random_rotmat((24,)).numpy()
    assert np.allclose(mirror_rotations(mirror_rotations(rotations)), rotations)
    assert np.allclose(np.linalg.det(mirror_rotations(rotations)), 1, atol=1e-5)


def test_augmentation_draws_stay_in_range():
    rng, augmentation = np.random.default_rng(0), Augmentation()
    drawn = [augmentation.draw(rng) for _ in range(4000)]
    turns = np.array([d.rotation_deg for d in drawn])
    scales = np.array([d.scale for d in drawn])
    assert np.mean([d.mirror for d in drawn]) == pytest.approx(0.5, abs=0.03)
    assert np.mean(turns == 0) == pytest.approx(0.6, abs=0.03)
    assert abs(turns).max() == 60
    assert scales.min() == 0.75
    assert scales.max() == 1.25
    channels = np.stack([d.channels for d in drawn])
    assert 0.6 <= channels.min() < 0.62
    assert 1.38 < channels.max() <= 1.4
    with pytest.raises(UserError, match=r"mirror of augmentation is 2\.0"):
        Augmentation(mirror=2.0)


def test_scale_channels_scales_and_clips():
    image = np.array([[[10, 100, 200]]], np.uint8)
    assert scale_channels(image, np.array([1.4, 0.6, 1.4])).tolist() == [[[14, 60, 255]]]
    assert scale_channels(image, np.ones(3)) is image


def test_add_occluders_covers_a_copy(tmp_path):
    image = np.full((256, 192, 3), 7, np.uint8)
    covered = add_occluders(image, 7, np.random.default_rng(0))
    assert (image == 7).all()
    assert 0.001 < (covered != 7).any(-1).mean() < 0.9
    assert np.array_equal(covered, add_occluders(image, 7, np.random.default_rng(0)))
    assert add_occluders(image, 0, np.random.default_rng(0)) is image
    # The published file is an array of objects, which requires a pickle.
    cutouts = np.empty(2, object)
    cutouts[:] = [draw_occluder(np.random.default_rng(k)) for k in range(2)]
    np.save(tmp_path / "pascal_occluders.npy", cutouts)
    read = read_occluders(str(tmp_path / "pascal_occluders.npy"))
    assert all(np.array_equal(a, b) for a, b in zip(read, cutouts, strict=True))


class _Bomb:
    def __reduce__(self):
        return print, ("code was run",)


def test_read_occluders_rejects_code(tmp_path, capsys):
    evil = np.empty(1, object)
    evil[0] = _Bomb()
    np.save(tmp_path / "evil.npy", evil)
    with pytest.raises(UserError, match=r"needs '(builtins|__builtin__)\.print'"):
        read_occluders(str(tmp_path / "evil.npy"))
    assert "code was run" not in capsys.readouterr().out
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(UserError, match=r"is a text file, not a NumPy array \(\.npy\)"):
        read_occluders(str(tmp_path / "text.npy"))
    with pytest.raises(UserError, match="does not exist"):
        read_occluders(str(tmp_path / "none.npy"))
    np.save(tmp_path / "flat.npy", np.zeros((2, 5)))
    with pytest.raises(UserError, match="expected images"):
        read_occluders(str(tmp_path / "flat.npy"))


def test_paste_clips_at_the_edge():
    image = np.zeros((20, 30, 3), np.uint8)
    cutout = np.full((10, 10, 4), 255, np.uint8)
    paste(image, cutout, (0.0, 0.0))
    assert image[:5, :5].min() == 255
    assert image.sum() == 255 * 3 * 25
    paste(image, cutout, (-50.0, 0.0))
    assert image.sum() == 255 * 3 * 25

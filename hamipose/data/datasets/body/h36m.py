"""Human3.6M in the JSON format with 17 joints, which 3DMPPE introduced and RegDA reads; joint order and projection.

``annotations/Human36M_subject<s>_{camera,data,joint_3d}.json`` beside ``images/``. The official files are read by
:mod:`hamipose.data.datasets.body.h36m_official`.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from hamipose.data.base import KeypointDataset, get_skeleton
from hamipose.data.splits import check_protocol, check_split, sample_with_replacement
from hamipose.errors import UserError
from hamipose.geometry.crops import padded_box, published_crop, published_labels
from hamipose.io.file_type import describe_error
from hamipose.io.image_file import UnreadableImage
from hamipose.io.json_file import read_json
from hamipose.skeletons import BODY16, Skeleton
from hamipose.types import Sample

__all__ = ["H36M17", "SUBJECTS", "Human36M", "body16_from_h36m", "default_frame_stride", "project", "to_skeleton"]

SUBJECTS = {"train": (1, 5, 6, 7, 8), "test": (9, 11), "all": (1, 5, 6, 7, 8, 9, 11)}
_EXPECTED = "Human3.6M in the JSON format with 17 joints"

#: The 17 joints of the JSON format, in the order of most papers.
H36M17 = (
    *("pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("torso", "neck", "nose", "head", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_shoulder", "right_elbow", "right_wrist"),
)


def body16_from_h36m(joints: Float[np.ndarray, "*batch 17 axis"]) -> Float[np.ndarray, "*batch 16 axis"]:
    """Return BODY16 by name; the thorax, which Human3.6M lacks, is the midpoint of the shoulders (RegDA)."""
    shoulders = [H36M17.index(f"{side}_shoulder") for side in ("left", "right")]
    picked = [H36M17.index(k) if k in H36M17 else 0 for k in BODY16.keypoints]
    mapped = joints[..., picked, :]
    mapped[..., BODY16.index("thorax"), :] = joints[..., shoulders, :].mean(-2)
    return mapped


def project(
    points_mm: Float[np.ndarray, "*batch 3"],
    rotation: Float[np.ndarray, "3 3"],
    translation: Float[np.ndarray, "3"],
    focal: Float[np.ndarray, "2"],
    center: Float[np.ndarray, "2"],
) -> Float[np.ndarray, "*batch 2"]:
    r"""Project world points: :math:`X_c = R X + t`, :math:`u = f\, X_c^{xy} / X_c^z + c`, without lens distortion."""
    seen = points_mm @ rotation.T + translation
    return focal * seen[..., :2] / seen[..., 2:] + center


def default_frame_stride(split: str, protocol: str, frame_stride: int | None) -> int:
    """Return the frame stride; default: 5, and 64 for the "strict" test, as in most papers on this set.

    Raises:
        UserError: it is less than 1.
    """
    if frame_stride is not None and frame_stride < 1:
        raise UserError(f"frame_stride of Human3.6M is {frame_stride}, expected at least 1")
    return frame_stride or (64 if split == "test" and protocol == "strict" else 5)


class _People(NamedTuple):
    """Labels of all images, about 240 bytes per image."""

    files: np.ndarray  # [image] bytes, below images/
    keypoints_px: np.ndarray  # [image, 16, 2]
    sizes: np.ndarray  # [image, 2] width and height
    boxes_px: np.ndarray  # [image, 4]; NaN if not annotated


def to_skeleton(body16_px: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints and visibility of any body skeleton by name; Human3.6M labels all joints, visible or not."""
    keypoints_px = np.zeros((len(skeleton), 2), np.float32)
    visibility = np.zeros(len(skeleton), np.int64)
    for k, source in enumerate(skeleton.map_from(BODY16)):
        if source is not None:
            keypoints_px[k], visibility[k] = body16_px[source], 2
    return keypoints_px, visibility


def _camera(camera: dict) -> list[np.ndarray]:
    """Return rotation, translation, focal lengths and center.

    Raises:
        ValueError: one of them has a wrong shape.
    """
    shapes = {"R": (3, 3), "t": (3,), "f": (2,), "c": (2,)}
    return [np.array(camera[part], np.float64).reshape(shape) for part, shape in shapes.items()]


def _read_subject(annotations: Path, subject: int, frame_stride: int, protocol: str) -> _People:
    """Read the images of one subject.

    Raises:
        UserError: a file cannot be read or has an unexpected format.
    """
    paths = {kind: annotations / f"Human36M_subject{subject}_{kind}.json" for kind in ("camera", "data", "joint_3d")}
    cameras, data, poses = (read_json(path, _EXPECTED) for path in paths.values())
    where = paths["data"]
    try:
        images = data["images"][::frame_stride]  # RegDA strides over the list, not over frame numbers
        if protocol == "strict":
            images = [image for image in data["images"] if image["frame_idx"] % frame_stride == 0]
        where = paths["joint_3d"]
        selected = [poses[str(i["action_idx"])][str(i["subaction_idx"])][str(i["frame_idx"])] for i in images]
        if not selected:
            raise UserError(f"{paths['data']} contains no images; expected {_EXPECTED}")
        world = np.array(selected, np.float64)
        if world.shape[1:] != (len(H36M17), 3):
            raise UserError(f"joints in {where} have shape {world.shape[1:]}, expected 17 x 3")
        joints, where = body16_from_h36m(world), paths["camera"]
        camera_names = [str(i["cam_idx"]) for i in images]
        keypoints = np.zeros((len(images), len(BODY16), 2), np.float32)
        for name in set(camera_names):
            chosen = np.array(camera_names) == name
            keypoints[chosen] = project(joints[chosen], *_camera(cameras[name]))
        where = paths["data"]
        boxes = {a["image_id"]: a["bbox"] for a in data.get("annotations", ()) if "bbox" in a}
        unknown = [np.nan] * 4
        return _People(
            files=np.array([i["file_name"].encode() for i in images]),
            keypoints_px=keypoints,
            sizes=np.array([[i["width"], i["height"]] for i in images], np.int32),
            boxes_px=np.array([boxes.get(i["id"], unknown) for i in images], np.float32),
        )
    except UserError:
        raise
    except KeyError as error:
        raise UserError(f"annotation file {where} lacks {error}; expected {_EXPECTED}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"annotation file {where} has an unexpected format ({describe_error(error)}); expected {_EXPECTED}"
        ) from None


class Human36M(KeypointDataset):
    """People of Human3.6M (Ionescu et al., PAMI 2014), cropped from full images on demand.

    Args:
        root: folder with ``annotations`` and ``images``.
        split: "train" (subjects 1, 5, 6, 7, 8), "test" (9, 11) or "all".
        frame_stride: use every n-th frame; default: 5, as published, and 64 for the "strict" test.
        skeleton: keypoint order; keypoints are matched by name, those that BODY16 lacks are not labeled.
        protocol: "strict" crops to the annotated box times `padding` and tests each image once; "paper" crops to the
            published square around the true keypoints and tests 3200 draws with replacement.
        padding: see `protocol`.
        cache: keep decoded images in memory.
    """

    def __init__(
        self,
        root: str,
        split: str = "train",
        frame_stride: int | None = None,
        skeleton: str = "body16",
        protocol: str = "strict",
        padding: float = 1.25,
        cache: bool = False,
    ):
        check_split(split, SUBJECTS, "Human36M")
        if padding <= 0:
            raise UserError(f"padding of Human36M is {padding}, expected a factor above 0, such as 1.25")
        self.root = Path(root)
        self.split = split
        self.skeleton = get_skeleton(skeleton)
        self.protocol = check_protocol(protocol)
        self.frame_stride = default_frame_stride(split, protocol, frame_stride)
        self.padding = padding
        self.cache = cache
        self._people: _People | None = None

    @property
    def people(self) -> _People:
        """Return the labels of the split, read on first use."""
        if self._people is None:
            folder = self.root / "annotations"
            read = [_read_subject(folder, s, self.frame_stride, self.protocol) for s in SUBJECTS[self.split]]
            whole = _People(*(np.concatenate(column) for column in zip(*read, strict=True)))
            if self.protocol == "strict" and np.isnan(whole.boxes_px).any():
                missing = bytes(whole.files[np.isnan(whole.boxes_px).any(-1).argmax()]).decode()
                raise UserError(
                    f"{self.root / 'annotations'} has no bbox for image {missing}; expected annotations with boxes, or "
                    "protocol: paper, which crops by the true keypoints"
                )
            if self.protocol == "paper" and self.split == "test":
                chosen = sample_with_replacement(len(whole.files))
                whole = _People(*(column[chosen] for column in whole))
            self._people = whole
        return self._people

    def _path(self, index: int) -> Path:
        return self.root / "images" / bytes(self.people.files[index]).decode()

    def prepare(self) -> None:
        """Read the annotations, and check that the first image exists."""
        if not self._path(0).is_file():
            raise UserError(f"image {self._path(0)} does not exist; expected {_EXPECTED}")

    def __len__(self) -> int:
        return len(self.people.files)

    def __getitem__(self, index: int) -> Sample:
        people: Any = self.people
        body = people.keypoints_px[index]
        keypoints_px, visibility = to_skeleton(body, self.skeleton)
        if self.protocol == "paper":
            box = published_crop(body, *people.sizes[index].tolist())
            keypoints_px = published_labels(keypoints_px, box)
        else:
            box = padded_box(people.boxes_px[index], self.padding)
        path = self._path(index)
        image, reduction = self.decode(path, box)
        height, width = image.shape[:2]
        if np.abs(people.sizes[index] - np.multiply((width, height), reduction)).max() >= reduction:
            stated = " x ".join(map(str, people.sizes[index]))
            raise UnreadableImage(
                f"image {path} is {width * reduction} x {height * reduction}, labels are for {stated}"
            )
        return Sample(
            image=image,
            box_px=(box / reduction).astype(np.float32),
            name=str(path),
            reduction=reduction,
            # A pixel of the reduced image is the mean of a block, at whose center it lies.
            keypoints_px=((keypoints_px + 0.5) / reduction - 0.5).astype(np.float32),
            visibility=visibility,
        )

"""Catalog of public data sets by their names in the verb `data`: description, source, license, files and splits.

Does not import torch: the help of the verb lists the names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hamipose.errors import UserError

if TYPE_CHECKING:
    from hamipose.data.base import KeypointDataset

__all__ = [
    "CATALOG",
    "BaseEntry",
    "CatalogEntry",
    "RequiredFiles",
    "find_entry",
    "get_entry",
]


@dataclass(frozen=True)
class RequiredFiles:
    """A group of files of a release.

    Attributes:
        pattern: glob pattern below the root; alternatives are separated by "|".
        description: what the files contain.
        count: number of files in a complete release, if known.
    """

    pattern: str
    description: str
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class BaseEntry:
    """Description of a public data set; base class of the entries of both packages.

    Attributes:
        title: description.
        site: where to register or download.
        obtain: how to obtain it.
        terms: license in one line.
        files: files of a complete release.
    """

    title: str
    site: str
    obtain: str
    terms: str
    files: tuple[RequiredFiles, ...]


E = TypeVar("E", bound=BaseEntry)


@dataclass(frozen=True, kw_only=True)
class CatalogEntry(BaseEntry):
    """A data set of keypoints as released by its authors.

    Attributes:
        loader: name of its class in ``hamipose.data``.
        splits: protocol → split → options of the class.
        counts: protocol → split → number of people, if published or certain.
    """

    loader: str
    splits: dict[str, dict[str, dict[str, Any]]]
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def dataset(self, root: str | Path, split: str, protocol: str) -> "KeypointDataset":
        """Return one split of the raw release, without reading it."""
        import hamipose.data

        return getattr(hamipose.data, self.loader)(root=str(root), **self.splits[protocol][split])


def _both(*splits: str, **options: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """Return splits that have the same names under both protocols."""
    return {p: {s: {"split": s, "protocol": p, **options} for s in splits} for p in ("strict", "paper")}


_LSP_SITE = "http://sam.johnson.io/research/"
_FREIBURG = "https://lmb.informatik.uni-freiburg.de/"

CATALOG = {
    "surreal": CatalogEntry(
        title="SURREAL: rendered SMPL bodies, 6.5 million frames (Varol et al., CVPR 2017)",
        loader="SurrealRaw",
        site="https://www.di.ens.fr/willow/research/surreal/data/",
        obtain="accept the terms on the site, which sends an account; one download of about 86 GB",
        terms="non-commercial research; no redistribution",
        files=(
            *(
                RequiredFiles(f"cmu/{split}/run*/*/*{end}|{split}/run*/*/*{end}", f"{what}, {split}", count)
                for split, count in (("train", None), ("val", 507), ("test", 12528))
                for end, what in (("_info.mat", "labels"), (".mp4", "videos"))
            ),
        ),
        splits=_both("train", "val", "test"),
    ),
    "surreal-processed": CatalogEntry(
        title="SURREAL as processed by the authors of RegDA: square crops with 24 joints",
        loader="Surreal",
        site="https://github.com/thuml/Transfer-Learning-Library (links reported dead, never restored)",
        obtain="only from people who have a copy; otherwise use surreal, the official release",
        terms="those of SURREAL: non-commercial research; no redistribution",
        files=tuple(
            RequiredFiles(f"{split}/run{run}.json", f"labels of {split}, run {run}")
            for split in ("train", "val", "test")
            for run in (0, 1, 2)
        ),
        splits=_both("train", "val", "test"),
    ),
    "h36m": CatalogEntry(
        title="Human3.6M: four cameras, seven labeled subjects (Ionescu et al., PAMI 2014), 17 joints in JSON",
        loader="Human36M",
        site="http://vision.imar.ro/human3.6m/, and github.com/mks0601/3DMPPE_POSENET_RELEASE for this layout",
        obtain="register with an academic address; answers may take months",
        terms="academic use only; no redistribution, including labels",
        files=(
            RequiredFiles("annotations/Human36M_subject*_camera.json", "cameras", 7),
            RequiredFiles("annotations/Human36M_subject*_data.json", "frames and boxes", 7),
            RequiredFiles("annotations/Human36M_subject*_joint_3d.json", "joints", 7),
            RequiredFiles("images/*/*.jpg", "images"),
        ),
        splits=_both("train", "test"),
        counts={"paper": {"test": 3200}},
    ),
    "h36m-official": CatalogEntry(
        title="Human3.6M in its official format: videos, CDF files, bounding boxes",
        loader="Human36MOfficial",
        site="http://vision.imar.ro/human3.6m/",
        obtain="register with an academic address; Videos, D2 positions and bounding boxes (MAT) of each subject",
        terms="academic use only; no redistribution, including labels",
        files=(
            RequiredFiles("S*/**/D2_Positions/*.cdf", "joints"),
            RequiredFiles("S*/**/ground_truth_bb/*.mat", "boxes, for protocol strict"),
            RequiredFiles("S*/Videos/*.mp4", "videos"),
        ),
        splits=_both("train", "test"),
        counts={"paper": {"test": 3200}},
    ),
    "rhd": CatalogEntry(
        title="Rendered Hand Pose: 20 rendered people, both hands (Zimmermann & Brox, ICCV 2017)",
        loader="RenderedHands",
        site=_FREIBURG + "resources/datasets/RenderedHandposeDataset.en.html",
        obtain="a download from the site, RHD_published_v2",
        terms="research only",
        files=(
            RequiredFiles("training/anno_training.pickle", "training labels", 1),
            RequiredFiles("evaluation/anno_evaluation.pickle", "evaluation labels", 1),
            RequiredFiles("training/color/*.png", "training images", 41258),
            RequiredFiles("evaluation/color/*.png", "evaluation images", 2728),
        ),
        splits=_both("train", "test"),
    ),
    "h3d": CatalogEntry(
        title="Hand-3D-Studio: hands of ten people, fifteen cameras (Zhao et al., 2020), cropped by RegDA's authors",
        loader="Hand3DStudio",
        site="https://www.yangangwang.com/papers/ZHAO-H3S-2020-02.html",
        obtain="the raw set from its authors; the cropped one (H3D_crop) from people who have it: links are dead",
        terms="research only",
        files=(
            RequiredFiles("annotation.json", "labels", 1),
            RequiredFiles("part*/**/*.jpg|part*/**/*.png", "images"),
        ),
        splits=_both("train", "test"),
    ),
    "freihand": CatalogEntry(
        title="FreiHAND v2: hands of 32 people in front of a green screen (Zimmermann et al., ICCV 2019)",
        loader="FreiHand",
        site=_FREIBURG + "projects/freihand/",
        obtain="a download from the site, FreiHAND_pub_v2.zip, 3.7 GB",
        terms="research only",
        files=(
            RequiredFiles("training_K.json", "cameras", 1),
            RequiredFiles("training_xyz.json", "joints", 1),
            RequiredFiles("training/rgb/*.jpg", "images", 130240),
        ),
        splits={
            "strict": {s: {"split": s, "protocol": "strict"} for s in ("train", "test", "evaluation")},
            "paper": {s: {"split": s, "protocol": "paper"} for s in ("train", "test")},
        },
        counts={"strict": {"evaluation": 3960}, "paper": {"train": 127040, "test": 3200}},
    ),
    "hand-photos": CatalogEntry(
        title="583 photos of one person's right hand (Ge et al., CVPR 2019)",
        loader="HandPhotos",
        site="https://github.com/3d-hand-shape/hand-graph-cnn",
        obtain="data/real_world_testset of the repository",
        terms="Snap Inc.: non-commercial research and education; no redistribution",
        files=(
            RequiredFiles("pose_gt.mat", "joints", 1),
            RequiredFiles("params.mat", "cameras and boxes", 1),
            RequiredFiles("images/*.jpg", "images", 583),
        ),
        splits={"strict": {split: {"split": split} for split in ("train", "test")}},
        counts={"strict": {"train": 383, "test": 200}},
    ),
    "lsp": CatalogEntry(
        title="Leeds Sports Pose: 2000 sportspeople (Johnson & Everingham, BMVC 2010)",
        loader="LeedsSports",
        site=_LSP_SITE + "lsp.html",
        obtain="a download from the site, lsp_dataset.zip",
        terms="research; photographs belong to their Flickr authors",
        files=(RequiredFiles("joints.mat", "labels", 1), RequiredFiles("images/im*.jpg", "images", 2000)),
        splits=_both("train", "test"),
        counts={"strict": {"train": 991, "test": 1000}, "paper": {"train": 2000, "test": 2000}},
    ),
    "lspet": CatalogEntry(
        title="Leeds Sports Pose Extended: parkour, gymnastics, athletics (Johnson & Everingham, CVPR 2011)",
        loader="LeedsSportsExtended",
        site=_LSP_SITE + "lspet.html",
        obtain="a download from the site, lspet_dataset.zip",
        terms="research; photographs belong to their Flickr authors",
        files=(RequiredFiles("joints.mat", "labels", 1), RequiredFiles("images/im*.jpg", "images", 10000)),
        splits=_both("train", "test"),
    ),
    "coco": CatalogEntry(
        title="COCO keypoints 2017 (Lin et al., ECCV 2014), or any folder in its format",
        loader="CocoKeypoints",
        site="https://cocodataset.org/#download",
        obtain="downloads from the site: train2017.zip, val2017.zip, annotations_trainval2017.zip",
        terms="labels CC BY 4.0; photographs under their Flickr licenses",
        files=(
            RequiredFiles("annotations/person_keypoints_train2017.json", "training labels", 1),
            RequiredFiles("annotations/person_keypoints_val2017.json", "validation labels", 1),
            RequiredFiles("train2017/*.jpg", "training images", 118287),
            RequiredFiles("val2017/*.jpg", "validation images", 5000),
        ),
        splits={
            "strict": {
                split: {
                    "annotations": f"annotations/person_keypoints_{folder}.json",
                    "images": folder,
                    "skeleton": "coco17",
                }
                for split, folder in (("train", "train2017"), ("test", "val2017"))
            }
        },
    ),
}


def get_entry(catalog: Mapping[str, E], name: str) -> E:
    """Return an entry of a catalog.

    Raises:
        UserError: unknown name.
    """
    if name not in catalog:
        raise UserError(f"data set is {name!r}, expected one of {', '.join(catalog)}")
    return catalog[name]


def find_entry(name: str) -> CatalogEntry:
    """Return the entry of a data set of keypoints, see :func:`get_entry`."""
    return get_entry(CATALOG, name)

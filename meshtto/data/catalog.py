"""Catalog of mesh data sets by their names in the verb `data`: description, source, license, files and splits.

Does not import torch: the help of the verb lists the names.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hamipose.data.catalog.entries import BaseEntry, RequiredFiles, get_entry
from hamipose.errors import UserError

if TYPE_CHECKING:
    from meshtto.data.base import MeshDataset

__all__ = ["CATALOG", "MeshCatalogEntry", "find_entry"]


@dataclass(frozen=True, kw_only=True)
class MeshCatalogEntry(BaseEntry):
    """A data set of people with meshes or joints as released by its authors.

    Attributes:
        splits: split → class in ``meshtto.data`` and its options except the root.
        root_option: option of the class that is the folder of the data set.
        wraps: class in ``hamipose.data`` that reads the data set, if the class only wraps it.
        labels: available labels.
    """

    splits: dict[str, tuple[str, dict[str, Any]]]
    labels: str
    root_option: str = "root"
    wraps: str | None = None

    def dataset(self, root: str, split: str, **options: Any) -> "MeshDataset":
        """Return one split without reading it.

        Raises:
            UserError: unknown split.
        """
        import hamipose.data
        import meshtto.data

        if split not in self.splits:
            raise UserError(f"split is {split!r}, expected one of {', '.join(self.splits)}")
        name, fixed = self.splits[split]
        dataset_class = getattr(meshtto.data, name)
        if self.wraps is not None:
            return dataset_class(getattr(hamipose.data, self.wraps)(root, **fixed), **options)
        return dataset_class(**{self.root_option: root}, **fixed, **options)


CATALOG = {
    "3dpw": MeshCatalogEntry(
        title="3DPW: people outdoors, SMPL from sensors and a moving camera (von Marcard et al., ECCV 2018)",
        site="https://virtualhumans.mpi-inf.mpg.de/3DPW",
        obtain="accept the terms on the site; imageFiles.zip and sequenceFiles.zip",
        terms="non-commercial research (CC BY-NC-ND 4.0)",
        files=(
            RequiredFiles("sequenceFiles/train/*.pkl", "sequences to train on", 24),
            RequiredFiles("sequenceFiles/validation/*.pkl|sequenceFiles/val/*.pkl", "sequences to validate on", 12),
            RequiredFiles("sequenceFiles/test/*.pkl", "sequences to test on", 24),
            RequiredFiles("imageFiles/*/image_*.jpg", "images"),
        ),
        splits={s: ("ThreeDPW", {"split": s}) for s in ("train", "validation", "test")},
        labels="SMPL pose and shape by gender, camera, OpenPose's 2D joints; --body gives all 49 joints",
    ),
    "h36m": MeshCatalogEntry(
        title="Human3.6M: four cameras, seven labeled subjects (Ionescu et al., PAMI 2014)",
        site="http://vision.imar.ro/human3.6m/",
        obtain="register with an academic address; Videos, D2 positions and D3 positions (mono) of each subject",
        terms="academic use only; no redistribution, including labels",
        files=(
            RequiredFiles("S*/**/D2_Positions/*.cdf", "joints in pixels", 840),
            RequiredFiles("S*/**/D3_Positions_mono/*.cdf", "joints in millimeters", 840),
            RequiredFiles("S*/Videos/*.mp4|images/*.jpg", "videos, or images extracted from them"),
        ),
        splits={s: ("Human36MMeshes", {"split": s}) for s in ("train", "p1", "p2")},
        labels="17 joints in 2D and 3D; SMPL only with MoSh's labels (--mosh), which are no longer distributed",
    ),
    "mpi-inf-3dhp": MeshCatalogEntry(
        title="MPI-INF-3DHP: fourteen cameras, eight subjects (Mehta et al., 3DV 2017), training part",
        site="https://vcai.mpi-inf.mpg.de/3dhp-dataset",
        obtain="a script on the site downloads it; cameras 0-2 and 4-8 are used",
        terms="non-commercial research",
        files=(
            RequiredFiles("S*/Seq*/annot.mat", "joints", 16),
            RequiredFiles(
                "S*/Seq*/imageSequence/*.avi|S*/Seq*/imageFrames/*/*.jpg", "videos, or images extracted from them"
            ),
        ),
        splits={"train": ("MpiInf3dhp", {})},
        labels="17 joints in 2D and 3D",
    ),
    "lspet": MeshCatalogEntry(
        title="Leeds Sports Pose Extended: 10,000 people, 2D only (Johnson & Everingham, CVPR 2011)",
        site="http://sam.johnson.io/research/lspet.html",
        obtain="a download from the site, or from a mirror",
        terms="non-commercial research (CC BY-NC 4.0)",
        files=(RequiredFiles("joints.mat", "joints", 1), RequiredFiles("images/im*.jpg", "images", 10000)),
        splits={s: ("KeypointsOnly", {"split": s, "skeleton": "lsp14"}) for s in ("all", "train", "test")},
        wraps="LeedsSportsExtended",
        labels="14 joints in 2D",
    ),
    "spin": MeshCatalogEntry(
        title="Annotations in SPIN's format: Human3.6M, MPI-INF-3DHP, COCO, MPII, LSP-Extended, 3DPW",
        site="https://github.com/nkolot/SPIN (fetch_data.sh), https://github.com/haofanwang/CLIFF",
        obtain="an .npz of one data set (--file); its images come from the data set's own site (--root)",
        terms="those of each data set",
        files=(),
        splits={"all": ("SpinAnnotations", {})},
        root_option="images",
        labels="depend on the file",
    ),
}


def find_entry(name: str) -> MeshCatalogEntry:
    """Return the entry of a data set, see :func:`hamipose.data.catalog.entries.get_entry`."""
    return get_entry(CATALOG, name)

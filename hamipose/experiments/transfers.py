"""Transfers from a source to a target domain: their data sets, which replace those of any method's config."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hamipose.config.config_file import (
    find_data_paths,
    import_class,
    instantiate,
    relocate_data_paths,
    resolve_inheritance,
)
from hamipose.config.environment import configs_folder
from hamipose.experiments.paper_results import BODY_COLUMNS, HAND_COLUMNS

__all__ = ["Transfer", "build_data_sets", "transfer_data"]

_SETS = ("source", "target", "validation", "test")


@dataclass(frozen=True)
class Transfer:
    """A source, a target, and the test set that a table shows.

    Attributes:
        name: folder of its runs; transfers that differ in the test set only share them.
        title: title for readers.
        config: file in ``configs/hamipose`` whose data sets it uses.
        test_set: name of the test set that the table shows.
        columns: keypoint groups, the headline last.
        options: options that every method gets with these data sets, by their names on the command line.
        paper_name: its name in :mod:`hamipose.experiments.paper_results`; default: None, not in the paper.
    """

    name: str
    title: str
    config: str
    test_set: str
    columns: tuple[str, ...] = BODY_COLUMNS
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    paper_name: str | None = None

    def missing(self, root: Path | None) -> list[str]:
        """Return the missing folders and files that its data sets need below the data root."""
        wanted = sorted({*find_data_paths(_merged_sets(self.config)), *find_data_paths(self.options)})
        return [w for w in wanted if root is None or not Path(relocate_data_paths(w, root)).exists()]

    def relocated_options(self, root: Path | None) -> dict[str, str]:
        """Return its options with paths below the data root."""
        return relocate_data_paths(self.options, root)


def transfer_data(transfer: Transfer, root: Path | None) -> dict[str, Any]:
    """Return the data sets of a transfer, with every argument, so that they replace those of a config completely.

    Args:
        transfer: the transfer.
        root: the folder that configs call ``data/``; None leaves paths unchanged.
    """
    return relocate_data_paths(_with_defaults(_merged_sets(transfer.config)), root)


def build_data_sets(sets: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield role, class name and data set of each set.

    Args:
        sets: result of :func:`transfer_data`.

    Raises:
        UserError: a set cannot be built.
    """
    for role, spec in sets.items():
        group = {role: spec}
        if role == "target":
            group = {"target" if len(spec) == 1 else f"target {i}": s for i, s in enumerate(spec, 1)}
        elif role == "test":
            group = {f"test.{name}": s for name, s in spec.items()}
        for name, one in group.items():
            built = instantiate(one)
            yield name, type(getattr(built, "dataset", built)).__name__, built


def _merged_sets(config: str) -> dict[str, Any]:
    """Return the data sets of a config with those it inherits; a role is replaced as a whole."""
    sets: dict[str, Any] = {}
    for path in resolve_inheritance(configs_folder() / config):
        content = yaml.safe_load(path.read_text()).get("data") or {}
        sets |= {key: content[key] for key in _SETS if key in content}
    return sets


def _with_defaults(spec: Any) -> Any:
    """Return a specification with the default arguments of every class."""
    if isinstance(spec, list):
        return [_with_defaults(value) for value in spec]
    if not isinstance(spec, Mapping):
        return spec
    if "class_path" not in spec:
        return {key: _with_defaults(value) for key, value in spec.items()}
    parameters = inspect.signature(import_class(spec["class_path"])).parameters.values()
    arguments = {p.name: p.default for p in parameters if p.default is not p.empty}
    return {"class_path": spec["class_path"], "init_args": arguments | _with_defaults(spec.get("init_args", {}))}


_WHOLE_BACKBONE = {"model.init_args.network.deconv_channels": "[64,64,64]"}  # the demo's network ends one stage earlier

#: Transfers of the small scale. A transfer whose data are missing is skipped.
PHOTO_PEOPLE = Transfer(
    "people", "built-in people, plain → photo style", "tables/people.yaml", "photo", options=_WHOLE_BACKBONE
)
OTHER_PEOPLE = Transfer(
    "people",
    "the same, tested on poses unseen in both domains",
    "tables/people.yaml",
    "unseen",
    options=_WHOLE_BACKBONE,
)
_PHOTOS = {
    "model.init_args.network.backbone": "resnet18",
    "model.init_args.network.weights": "data/weights/resnet18_imagenet.safetensors",
    "model.init_args.network.deconv_channels": "[128,128,128]",
    "model.init_args.training.sigma": "1.5",
    "data.image_size": "96",
    "data.batch_size": "16",
}
LSP_PEOPLE = Transfer(
    "people_to_lsp", "built-in people → LSP, test half", "tables/people_to_lsp.yaml", "lsp", options=_PHOTOS
)
LSPET_PEOPLE = Transfer(
    "people_to_lsp",
    "built-in people → LSP, tested on LSP-Extended, unseen",
    LSP_PEOPLE.config,
    "lspet",
    options=_PHOTOS,
)

_HAND = {"model.init_args.network.skeleton": "hand21"} | _WHOLE_BACKBONE
HANDS = Transfer(
    "hands", "built-in hands, plain → photo style", "small_hands/hamipose.yaml", "photo", HAND_COLUMNS, _HAND
)
HAND_PHOTOS = Transfer(
    "hands_to_photos", "built-in hands → photos of one hand", "small_hands/to_photos.yaml", "hands", HAND_COLUMNS, _HAND
)
UNSEEN_HAND = Transfer(
    "hands_to_unseen",
    "built-in hands, plain → photo style, tested on photos of one hand",
    "tables/hands_to_unseen.yaml",
    "hands",
    HAND_COLUMNS,
    _HAND,
)

#: Options of the published protocol, which override the config of every method.
_AS_PUBLISHED = {
    "model.init_args.network.backbone": "resnet101",
    "model.init_args.network.weights": "pretrained",
    "model.init_args.network.deconv_channels": "[256,256,256]",
    "model.init_args.training.sigma": "2.0",
    "model.init_args.training.quantize": "true",
    "model.init_args.training.paper_scores": "true",
    "data.image_size": "256",
    "data.batch_size": "32",
    "data.evaluation_batch_size": "32",
    "trainer.precision": "32-true",
}

#: Transfers of the paper's scale, under the published and the strict protocol.
SURREAL_LSP = Transfer(
    "surreal_to_lsp",
    "SURREAL → LSP",
    "paper/surreal_to_lsp.yaml",
    "lsp",
    options=_AS_PUBLISHED,
    paper_name="surreal_to_lsp",
)
SURREAL_H36M = Transfer(
    "surreal_to_h36m",
    "SURREAL → Human3.6M",
    "paper/surreal_to_h36m.yaml",
    "h36m",
    options=_AS_PUBLISHED,
    paper_name="surreal_to_h36m",
)
LSP_TO_H36M = Transfer(
    "surreal_to_lsp_to_h36m",
    "SURREAL → LSP, tested on Human3.6M",
    "paper/surreal_to_lsp_to_h36m.yaml",
    "h36m",
    options=_AS_PUBLISHED,
    paper_name="surreal_to_lsp_to_h36m",
)
RHD_H3D = Transfer(
    "rhd_to_h3d",
    "RHD → Hand-3D-Studio",
    "paper/rhd_to_h3d.yaml",
    "h3d",
    HAND_COLUMNS,
    _HAND | _AS_PUBLISHED,
    paper_name="rhd_to_h3d",
)
RHD_FREIHAND = Transfer(
    "rhd_to_freihand",
    "RHD → FreiHAND",
    "paper/rhd_to_freihand.yaml",
    "freihand",
    HAND_COLUMNS,
    _HAND | _AS_PUBLISHED,
    paper_name="rhd_to_freihand",
)
H3D_TO_FREIHAND = Transfer(
    "rhd_to_h3d_to_freihand",
    "RHD → Hand-3D-Studio, tested on FreiHAND",
    "paper/rhd_to_h3d_to_freihand.yaml",
    "freihand",
    HAND_COLUMNS,
    _HAND | _AS_PUBLISHED,
    paper_name="rhd_to_h3d_to_freihand",
)

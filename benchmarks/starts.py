"""Measure accuracy and time of pretrained networks on LSP and LSP-Extended, without training.

    python benchmarks/starts.py ../shared/data runs/starts > benchmarks/results/footage/starts.md
    python benchmarks/starts.py ../shared/data runs/starts --models people:2 runs/mine:2:photo --every 4

A model is a name or path, the number of passes per person, and optionally `photo`, which uses the whole photo as the
crop instead of a detection, and `mirror`, which averages with the mirrored crop. `--every 4` uses every fourth photo.
Fetch the pretrained models first (`python -m hamipose models fetch blazepose`). The second folder stores predictions,
and the same command resumes an interrupted run. Strict protocol: LSP's test images 1001 to 2000 and LSP-Extended's 3601
to 4000, PCK of the 12 limb joints relative to the side of the whole photo's square. In photos with several people, the
person with the best score is used, as in `evaluate`. `--others mediapipe-heavy movenet-thunder` adds rows of tools that
benchmarks/other_tools.py ran on the same photos.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from hamipose.data.base import KeypointDataset
from hamipose.data.datasets.body.lsp import LeedsSports, LeedsSportsExtended
from hamipose.evaluation.prediction_scores import evaluate
from hamipose.geometry.affine import apply_points, crop_matrix
from hamipose.geometry.crops import labels_in_view
from hamipose.inference.detection import DetectedPeople, open_detector
from hamipose.inference.loading import load
from hamipose.metrics import pck_hits
from hamipose.skeletons import BODY16
from hamipose.types import UnlabeledSample

BATCH = 8
CHUNK = 64  # images between two saves


@dataclass(frozen=True)
class Variant:
    """A row of the table."""

    model: str
    passes: int
    detector: bool = True
    mirror: bool = False

    @classmethod
    def read(cls, words: str) -> "Variant":
        """Parse ``MODEL:PASSES[:photo][:mirror]``."""
        model, passes, *flags = words.split(":")
        if unknown := set(flags) - {"photo", "mirror"}:
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} in {words}: expected photo or mirror")
        return cls(model, int(passes), "photo" not in flags, "mirror" in flags)

    @property
    def name(self) -> str:
        """Return the label."""
        where = "detector" if self.detector else "whole photo"
        passes = f"{self.passes} pass{'es' if self.passes > 1 else ''}"
        return f"{self.model}, {where}, {passes}{', mirror' if self.mirror else ''}"


VARIANTS = (
    Variant("blazepose-heavy", 3, mirror=True),
    Variant("blazepose-full", 3, mirror=True),
    Variant("blazepose-lite", 3, mirror=True),
)


class EveryNth(KeypointDataset):
    """Every n-th image of a set."""

    def __init__(self, dataset: KeypointDataset, every: int):
        self.dataset, self.every, self.skeleton = dataset, every, dataset.skeleton

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.every)

    def __getitem__(self, index: int):
        return self.dataset[index * self.every]


def images_from(dataset: KeypointDataset, first: int) -> Iterator[UnlabeledSample]:
    """Yield the images from an index on."""
    for i in range(first, len(dataset)):
        sample = dataset[i]
        yield UnlabeledSample(image=sample.image, box_px=sample.box_px, name=f"{i}")


def predict(variant: Variant, dataset: KeypointDataset, path: Path) -> dict:
    """Return the keypoints of the best person in each image, the number of people, and the time.

    The file is written after each chunk of images, and an interrupted run resumes after the last one.
    """
    model = load(variant.model, device="cpu", passes=variant.passes).average_mirrored(variant.mirror)
    result = {"keypoints": list(model.skeleton.keypoints), "found": [], "people": 0, "empty": 0, "seconds": 0.0}
    if path.is_file():
        result = json.loads(path.read_text())
    detector = open_detector("blazepose") if variant.detector else None
    while (first := len(result["found"])) < len(dataset):
        began = time.process_time()
        samples = islice(images_from(dataset, first), CHUNK)
        live = None if detector is None else DetectedPeople(samples, detector, upright_crops=True, whole_images=True)
        best: dict[int, tuple[float, list]] = {}
        for person in model.stream(samples if live is None else live, batch_size=BATCH):
            image, score = int(person.name.partition("#")[0]), float(person.confidence.mean())
            result["people"] += 1
            if image not in best or score > best[image][0]:
                best[image] = score, person.keypoints_px.round(2).tolist()
        result["found"] += [best[image][1] for image in sorted(best)]
        result["empty"] += 0 if live is None else live.summary.empty
        result["seconds"] += time.process_time() - began
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(result))
        beside.replace(path)
        print(f"{variant.name}: {len(result['found'])} of {len(dataset)} images", file=sys.stderr, flush=True)
    return result


def exchange_gain(found_px: np.ndarray, dataset: KeypointDataset, threshold: float = 0.1) -> float:
    """Return the gain in PCK if left and right are exchanged for every person where that is better."""
    gained = counted = 0
    limbs = [BODY16.index(name) for name in BODY16.all]
    for prediction, sample in zip(found_px, (dataset[i] for i in range(len(dataset))), strict=True):
        matrix = crop_matrix(sample.box_px, 256)
        truth, visibility = labels_in_view(sample.keypoints_px, sample.visibility, matrix, 256)
        both = np.stack([prediction, prediction[BODY16.mirror]])
        placed = torch.from_numpy(np.stack([apply_points(matrix, points) for points in both]).astype(np.float32))
        truths, seen = (torch.from_numpy(np.stack([value, value])) for value in (truth, visibility))
        hits, counts = (value[:, limbs].sum(1) for value in pck_hits(placed, truths, seen, (256, 256), threshold))
        gained += int((hits[1] - hits[0]).clamp(min=0))
        counted += int(counts[0])
    return gained / max(counted, 1)


def to_body16(found_px: np.ndarray, names: list[str]) -> np.ndarray:
    """Return keypoints in the order of BODY16; NaN for missing names."""
    ordered = np.full((len(found_px), len(BODY16), 2), np.nan, np.float32)
    for k, name in enumerate(BODY16.keypoints):
        if name in names:
            ordered[:, k] = found_px[:, names.index(name)]
    return ordered


def row(name: str, results: dict[str, tuple[KeypointDataset, dict]]) -> str:
    """Return a row of the table."""
    cells = []
    for dataset, result in results.values():
        found = to_body16(np.array(result["found"]), result["keypoints"])
        near, far = evaluate(found, dataset, "strict").values()  # PCK@0.05, PCK@0.1
        groups = " / ".join(f"{100 * far[g]:.0f}" for g in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
        cells += [f"**{100 * near['all']:.1f} / {100 * far['all']:.1f}**", groups]
        cells += [f"{100 * exchange_gain(found, dataset):.1f}"]
        cells += [str(result["people"]), str(result["empty"]), f"{1000 * result['seconds'] / len(dataset):.0f}"]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lsp and lspet")
    parser.add_argument("out", type=Path, help="folder of the predictions")
    parser.add_argument("--models", nargs="+", type=Variant.read, default=VARIANTS)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--others", nargs="*", default=[], help="tools whose predictions lie in the second folder")
    options = parser.parse_args()
    root, out = options.data, options.out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    sets: dict[str, KeypointDataset] = {
        "LSP": LeedsSports(str(root / "lsp"), split="test"),
        "LSP-Extended": LeedsSportsExtended(str(root / "lspet"), split="test"),
    }
    if options.every > 1:
        sets = {title: EveryNth(dataset, options.every) for title, dataset in sets.items()}
    print("# Pretrained networks on photos, without training\n")
    print(f"`{' '.join(['python', *sys.argv])}`, one thread, on a shared machine.")
    print("LSP: test images 1001 to 2000. LSP-Extended: images 3601 to 4000, with small people. PCK@0.05 / @0.1")
    if options.every > 1:
        print(f"Every {options.every}th image is used, starting with the first.")
    print("of the whole photo's side, mean over the 12 limb joints, strict protocol; joint groups are @0.1: shoulder,")
    print(
        "elbow, wrist, hip, knee, ankle. For several people, the best score is used. "
        "If no person is detected, the whole photo is used."
    )
    print("exchange: gain in PCK@0.1 if left and right are exchanged for every person where that is better.")
    print("ms: CPU time per image, including reading, detector and all passes for all people.\n")
    print("MediaPipe does not publish its training data, which may contain photos of both sets.\n")
    print(f"| | {' | '.join(f'{s} | joints | exchange | people | without a detection | ms' for s in sets)} |")
    print("|---" * (1 + 6 * len(sets)) + "|")
    for variant in options.models:
        results = {}
        for title, dataset in sets.items():
            file = f"{variant.name} {title} {options.every}.json".replace(", ", "_").replace(" ", "_").replace("/", "-")
            path = out / file
            results[title] = dataset, predict(variant, dataset, path)
        print(row(variant.name, results), flush=True)
    for tool in options.others:
        results = {}
        for title, dataset in sets.items():
            result = json.loads((out / f"{tool}_{title}.json").read_text())
            result["found"] = result["found"][:: options.every]
            results[title] = dataset, result
        print(row(tool, results), flush=True)


if __name__ == "__main__":
    main()

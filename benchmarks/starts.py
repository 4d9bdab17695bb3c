"""Accuracy and time of pretrained starts on LSP and on people that are small in the picture, nothing trained.

    python benchmarks/starts.py ../shared/data runs/starts > benchmarks/results/footage/starts.md

The pretrained models must have been fetched (`python -m hamipose models fetch blazepose`). Predictions are kept in the
second folder as they come: the same command resumes an interrupted run. Strict protocol: LSP's test images 1001 to 2000
and LSP-Extended's 3601 to 4000, PCK of the 12 limb joints as a share of the side of the whole photo's square. People
are found and looked at as `predict` does; where a photo shows several, the one with the best score counts, as in
`evaluate`.
"""

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
from hamipose.data.lsp import LeedsSports, LeedsSportsExtended
from hamipose.inference.detecting import LivePeople, open_detector
from hamipose.inference.predictor import load
from hamipose.skeletons import BODY16
from hamipose.tables.evaluation import evaluate, in_order
from hamipose.types import UnlabelledSample

BATCH = 8
CHUNK = 64  # pictures after which what was found is saved


@dataclass(frozen=True)
class Variant:
    """A row of the table."""

    model: str
    passes: int
    detector: bool = True

    @property
    def name(self) -> str:
        where = "detector" if self.detector else "whole photo"
        return f"{self.model}, {where}, {self.passes} pass{'es' if self.passes > 1 else ''}"


VARIANTS = (
    Variant("blazepose-heavy", 3),
    Variant("blazepose-full", 3),
    Variant("blazepose-lite", 3),
    Variant("blazepose-heavy", 1),
    Variant("blazepose-heavy", 3, detector=False),
)


def pictures(dataset: KeypointDataset, first: int) -> Iterator[UnlabelledSample]:
    for i in range(first, len(dataset)):
        sample = dataset[i]
        yield UnlabelledSample(image=sample.image, box_px=sample.box_px, name=f"{i}")


def predict(variant: Variant, dataset: KeypointDataset, path: Path) -> dict:
    """Keypoints of the best person in each picture, how many people there were, and the time they took.

    The file is written after each chunk of pictures, and an interrupted run resumes after the last one.
    """
    model = load(variant.model, device="cpu", passes=variant.passes)
    result = {"keypoints": list(model.skeleton.keypoints), "found": [], "people": 0, "empty": 0, "seconds": 0.0}
    if path.is_file():
        result = json.loads(path.read_text())
    detector = open_detector("blazepose") if variant.detector else None
    while (first := len(result["found"])) < len(dataset):
        began = time.process_time()
        samples = islice(pictures(dataset, first), CHUNK)
        live = None if detector is None else LivePeople(samples, detector, turned=True, whole=True)
        best: dict[int, tuple[float, list]] = {}
        for person in model.stream(samples if live is None else live, batch_size=BATCH):
            picture, score = int(person.name.partition("#")[0]), float(person.confidence.mean())
            result["people"] += 1
            if picture not in best or score > best[picture][0]:
                best[picture] = score, person.keypoints_px.round(2).tolist()
        result["found"] += [best[picture][1] for picture in sorted(best)]
        result["empty"] += 0 if live is None else live.found.empty
        result["seconds"] += time.process_time() - began
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(result))
        beside.replace(path)
        print(f"{variant.name}: {len(result['found'])} of {len(dataset)} pictures", file=sys.stderr, flush=True)
    return result


def row(name: str, results: dict[str, tuple[KeypointDataset, dict]]) -> str:
    cells = []
    for dataset, result in results.values():
        found = in_order(np.array(result["found"]), result["keypoints"], BODY16)
        near, far = (evaluate(found, dataset, "strict", threshold=share) for share in (0.05, 0.1))
        groups = " / ".join(f"{100 * far[g]:.0f}" for g in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
        cells += [f"**{100 * near['all']:.1f} / {100 * far['all']:.1f}**", groups]
        cells += [str(result["people"]), str(result["empty"]), f"{1000 * result['seconds'] / len(dataset):.0f}"]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    sets: dict[str, KeypointDataset] = {
        "LSP": LeedsSports(str(root / "lsp"), split="test"),
        "LSP-Extended": LeedsSportsExtended(str(root / "lspet"), split="test"),
    }
    print("# Pretrained starts on photos, nothing trained\n")
    print(f"`{' '.join(['python', *sys.argv])}`, one thread, on a machine that was busy with other work.")
    print(
        "LSP: test images 1001 to 2000. LSP-Extended: images 3601 to 4000, in which people are small. PCK@0.05 / @0.1"
    )
    print("of the whole photo's side, mean over the 12 limb joints, strict protocol; joint groups are @0.1: shoulder,")
    print(
        "elbow, wrist, hip, knee, ankle. Several people: the best score counts. "
        "If no person is found, the whole photo is used."
    )
    print("ms: of processor time per picture; reading it, detector and all passes for all people included.\n")
    print("MediaPipe does not publish what its networks were trained on; photos of both sets may be among it.\n")
    print(f"| | {' | '.join(f'{s} | joints | people | without a detection | ms' for s in sets)} |")
    print("|---" * (1 + 5 * len(sets)) + "|")
    for variant in VARIANTS:
        results = {}
        for title, dataset in sets.items():
            path = out / f"{variant.name} {title}.json".replace(", ", "_").replace(" ", "_")
            results[title] = dataset, predict(variant, dataset, path)
        print(row(variant.name, results), flush=True)


if __name__ == "__main__":
    main()

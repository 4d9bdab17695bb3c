"""Measure a mesh model on LSP and LSP-Extended: accuracy of projected joints before and after adaptation, and time.

    python benchmarks/mesh_photos.py ../shared/data runs/mesh_photos --every 2

2D evidence is that of the best installed pose model, as in `python -m meshtto predict`; of several people in a photo,
the most confident one is measured. Strict protocol: LSP's test images 1001 to 2000 and LSP-Extended's 3601 to 4000, PCK
of the 12 limb joints relative to the side of the whole photo's square. Implausible poses exceed the joint limits of the
built-in body by more than 30°, or have limbs that penetrate each other by more than 5 cm in total
(`meshtto.evaluation.plausibility`). The second folder stores the evidence, and the same command resumes.
"""

import argparse
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from starts import EveryNth

from hamipose.data.base import KeypointDataset
from hamipose.data.datasets.body.lsp import LeedsSports, LeedsSportsExtended
from hamipose.errors import UserError
from hamipose.evaluation.prediction_scores import evaluate
from hamipose.skeletons import BODY16
from meshtto.evaluation.plausibility import LARGEST_EXCESS_DEG, LARGEST_PENETRATION_M, Plausibility, judge_poses
from meshtto.joints import JOINTS49
from meshtto.methods.base import MeshMethod
from meshtto.predict.frames import Frame
from meshtto.predict.keypoints import Evidence
from meshtto.predict.model import adaptation_phases, open_method
from meshtto.predict.pose_evidence import open_pose_model
from meshtto.predict.recover import recover_people
from meshtto.predict.samples import person_sample
from meshtto.types import MeshSample

CHUNK = 32


def frames_of(dataset: KeypointDataset, first: int, count: int) -> list[Frame]:
    """Return images as frames."""
    samples = [(i, dataset[i]) for i in range(first, min(first + count, len(dataset)))]
    return [Frame(name=f"{i}", image=sample.image) for i, sample in samples]


def find_evidence(dataset: KeypointDataset, path: Path, pose_checkpoint: str | None) -> tuple[np.ndarray, float]:
    """Return the most confident person's 49 joints (x, y, confidence) in each photo, and the seconds per photo."""
    pose, lines = open_pose_model(pose_checkpoint, None, "cpu")
    print("; ".join(lines), file=sys.stderr)
    rows, seconds = np.zeros((0, len(JOINTS49), 3)), 0.0
    if path.is_file():
        with np.load(path) as file:
            rows, seconds = file["rows"], float(file["seconds"])
    while len(rows) < len(dataset):
        frames = frames_of(dataset, len(rows), CHUNK)
        began = time.process_time()
        people = pose.find_people(frames)
        seconds += time.process_time() - began
        best = [max(found, key=lambda one: one.confidence.mean()) for found in people]
        new = np.stack([np.column_stack([one.keypoints_px, one.confidence]) for one in best])
        rows = np.concatenate([rows, new])
        np.savez(path, rows=rows, seconds=seconds)
        print(f"{path.stem}: {len(rows)} of {len(dataset)}", file=sys.stderr, flush=True)
    return rows, seconds / len(dataset)


def pck(points_px: np.ndarray, dataset: KeypointDataset) -> str:
    """Return PCK@0.05 / @0.1 of limb joints in percent."""
    found = np.full((len(points_px), len(BODY16), 2), np.nan, np.float32)
    for k, name in enumerate(BODY16.keypoints):
        if name in JOINTS49:
            found[:, k] = points_px[:, JOINTS49.index(name)]
    near, far = evaluate(found, dataset, "strict").values()
    return f"{100 * near['all']:.1f} / {100 * far['all']:.1f}"


def measure(method: MeshMethod, samples: list[MeshSample], steps: int) -> tuple[np.ndarray, Plausibility, float]:
    """Return projected joints in pixels, the judgment of the poses, and seconds per person in batches of 32."""
    phases = list(adaptation_phases(method, steps))
    points, rotations, remaining, seconds = [], [], iter(samples), 0.0
    while batch := list(islice(remaining, CHUNK)):
        began = time.process_time()
        people = recover_people(method, batch, phases)
        seconds += time.process_time() - began
        assert all(person is not None for person in people)
        points += [person.arrays["keypoints_px"] for person in people if person is not None]
        rotations += [person.arrays["rotations"] for person in people if person is not None]
    judged = judge_poses(torch.from_numpy(np.stack(rotations)), method.body)
    return np.stack(points), judged, seconds / len(samples)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lsp and lspet")
    parser.add_argument("out", type=Path, help="folder of the evidence")
    parser.add_argument("--checkpoint", help="mesh model (default: the one that ships)")
    parser.add_argument("--pose-checkpoint", help="model of the 2D evidence (default: the best installed)")
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 14])
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    method = open_method(options.checkpoint, None, "cpu")
    sets: dict[str, KeypointDataset] = {
        "LSP": LeedsSports(str(options.data / "lsp"), split="test"),
        "LSP-Extended": LeedsSportsExtended(str(options.data / "lspet"), split="test"),
    }
    if options.every > 1:
        sets = {title: EveryNth(dataset, options.every) for title, dataset in sets.items()}
    print("# Meshes of photos\n")
    print(f"`{' '.join(['python', *sys.argv])}`, one thread, on a shared machine.")
    print("PCK@0.05 / @0.1 of the photo's side, mean over the 12 limb joints, strict protocol. s: seconds of processor")
    print("time per person (for evidence: per photo), in batches of 32 and, in the last column, alone.\n")
    print("| | photos | PCK | joint limits | penetration | implausible | s | s alone |")
    print("|---" * 8 + "|")
    for title, dataset in sets.items():
        path = options.out / f"{title}_{options.every}_{options.pose_checkpoint or 'default'}.npz"
        rows, seconds = find_evidence(dataset, path, options.pose_checkpoint)
        print(f"| {title}: 2D evidence | {len(rows)} | {pck(rows[..., :2], dataset)} | | | | {seconds:.2f} | |")
        frames = (frames_of(dataset, i, 1)[0] for i in range(len(dataset)))
        samples, used = [], []
        for number, (frame, row) in enumerate(zip(frames, rows, strict=True)):
            evidence = Evidence(row[:, :2].astype(np.float32), row[:, 2].astype(np.float32))
            try:
                samples.append(person_sample(frame, 0, evidence, min_confidence=0.1))
                used.append(number)
            except UserError as error:  # counts as missed
                print(error, file=sys.stderr)
        for steps in options.steps:
            found, judged, seconds = measure(method, samples, steps)
            points = np.full((len(rows), *found.shape[1:]), np.nan, found.dtype)
            points[used] = found
            phases = list(adaptation_phases(method, steps))
            began = time.process_time()
            for sample in samples[:8]:
                recover_people(method, [sample], phases)
            alone = (time.process_time() - began) / 8
            limits = 100 * (judged.excess_deg > LARGEST_EXCESS_DEG).any(1).mean()
            touching = 100 * (judged.penetration_m > LARGEST_PENETRATION_M).mean()
            print(
                f"| {title}: mesh, {steps} steps | {len(used)} | {pck(points, dataset)} | {limits:.1f} % | "
                f"{touching:.1f} % | {100 * judged.implausible.mean():.1f} % | {seconds:.3f} | {alone:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

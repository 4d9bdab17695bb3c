"""Compare phases of test-time adaptation of a mesh model on built-in people that it never saw.

    python benchmarks/mesh_phases.py --checkpoint runs/mesh/people/checkpoints/last.ckpt --root runs/mesh/poses

For each learning rate and weight of the 2D loss: errors in mm, the mean distance to the 2D evidence in percent of the
crop, and implausible poses (`meshtto.evaluation.plausibility`), after 0, 7 and 14 steps of Adam or SGD on the head or
all weights. Evidence is that of the simulated detector. Choose by MPJPE and PA, not by the 2D error, which rewards
fitting the errors of the detector.
"""

import argparse
import sys
from dataclasses import replace

import numpy as np
import torch

from meshtto.data import BuiltinPoses, Detector
from meshtto.data.sampling import MeshCrops, collate
from meshtto.evaluation.plausibility import judge_poses
from meshtto.methods.base import MeshMethod
from meshtto.metrics import aligned_joint_errors, joint_errors, reprojection_errors
from meshtto.predict.model import open_method
from meshtto.test_time import SGD, Adam, Phase
from meshtto.types import BodyPrediction, MeshBatch

SHOWN = (0, 7, 14)


def row(method: MeshMethod, batches: list[MeshBatch], phase: Phase) -> list[str]:
    """Return a cell per number of steps."""
    found: dict[int, list[tuple[torch.Tensor, ...]]] = {step: [] for step in SHOWN}
    for batch in batches:
        truth = method.body.evaluation_joints(method.bodies.label_vertices(batch.rotations, batch.shape, batch.gender))

        def watch(step: int, made: BodyPrediction, batch: MeshBatch = batch, truth: torch.Tensor = truth) -> None:
            if step in found:
                joints = method.body.evaluation_joints(made.vertices_m)
                error = reprojection_errors(made.keypoints_px, batch.evidence_px, batch.evidence_confidence)
                errors = (1000 * measure(joints, truth).mean(1) for measure in (joint_errors, aligned_joint_errors))
                found[step].append((*errors, error / batch.image.shape[-1], made.rotations))

        method.recover(batch, [phase], watch, tolerance=None)
    cells = []
    for parts in found.values():
        mpjpe, pa, error, rotations = (torch.cat(values) for values in zip(*parts, strict=True))
        bad = 100 * float(np.mean(judge_poses(rotations, method.body).implausible))
        cells.append(f"{mpjpe.mean():.1f} / {pa.mean():.1f} / {100 * error.nanmean():.1f} / {bad:.1f}")
    return cells


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint")
    parser.add_argument("--root", default="runs/mesh/poses")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-5, 1e-4, 3e-4])
    parser.add_argument("--weights", type=float, nargs="+", default=[5.0, 25.0])
    parser.add_argument("--scopes", nargs="+", default=["head"])
    parser.add_argument("--enough", type=float, help="a person stops when L_2D is below this")
    parser.add_argument("--rule", choices=("Adam", "SGD"), default="Adam")
    options = parser.parse_args()
    torch.set_num_threads(1)
    method = open_method(options.checkpoint, None, "cpu")
    method.test_time = replace(method.test_time, enough_2d=options.enough)
    detector = Detector(skeletons=("coco17", "coco17", "body16"))
    dataset = BuiltinPoses(count=options.people, seed=920, root=options.root, detector=detector)
    dataset.prepare()
    height, width = method.hparams["crop"]
    crops = MeshCrops(dataset, (height, width))
    batches = [
        collate([crops[i] for i in range(start, min(start + 100, len(dataset)))])
        for start in range(0, len(dataset), 100)
    ]
    print(f"`{' '.join(['python', *sys.argv])}`\n")
    print("MPJPE / PA-MPJPE in mm / 2D error in % of the crop / implausible in %\n")
    print(f"| scope, 2D weight, rate | {' | '.join(f'{step} steps' for step in SHOWN)} |")
    print("|---" * (1 + len(SHOWN)) + "|")
    for scope in options.scopes:
        for weight in options.weights:
            for rate in options.rates:
                terms = {"keypoints": weight}
                rule = Adam(rate) if options.rule == "Adam" else SGD(rate)
                phase = Phase(max(SHOWN), rule, scope=scope, pseudo_mesh=False, loss=terms)
                cells = row(method, batches, phase)
                print(f"| {scope}, {weight:g}, {rate:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

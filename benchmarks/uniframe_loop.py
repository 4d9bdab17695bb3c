"""Measure UniFrame's own training loop, as released, beside our step of UniFrame and the mean teacher.

    python benchmarks/uniframe_loop.py --checkout CHECKOUT --backbone resnet101 --size 256 --batch 32 --device cuda

CHECKOUT: working tree of VisionLearningGroup/UDA_PoseEstimation, which is not part of this project. Its function
`train` runs on random batches in memory, without loading and style transfer, so that the two measure the same part of a
step: forward and backward passes, warps, occlusion, losses, and the updates of student and teacher. Names that newer
libraries removed are restored first. The result of our step is that of benchmarks/methods_cost.py.
"""

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from parity import restore_old_names
from records import append_record

RESULT = Path(__file__).parent / "results" / "gpu" / "uniframe_loop.json"
KEYPOINTS = 16
WARM_UP = 2


def transforms(batch: int, rotation_deg: float) -> list[Any]:
    """Return one random affine map per image, as its loader draws them: angle, translation, shear, scale."""

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.empty(batch).uniform_(low, high)

    shift, shear = [uniform(-12, 12), uniform(-12, 12)], [uniform(-30, 30), uniform(-30, 30)]
    return [uniform(-rotation_deg, rotation_deg), shift, shear, uniform(0.6, 1.3)]


def batches(batch: int, size: int, times: list[float], cuda: bool) -> Iterator[Any]:
    """Yield random source batches, and record when each is asked for, which is once per step."""
    image = torch.randn(batch, 3, size, size)
    label = torch.rand(batch, KEYPOINTS, size // 4, size // 4)
    weight = torch.ones(batch, KEYPOINTS, 1)
    while True:
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter())
        yield image, label, weight, {}


def target_batches(batch: int, size: int) -> Iterator[Any]:
    """Yield random target batches with one view for the teacher."""
    image = torch.randn(batch, 3, size, size)
    label = torch.rand(batch, KEYPOINTS, size // 4, size // 4)
    weight = torch.ones(batch, KEYPOINTS, 1)
    while True:
        student = {
            "aug_param_stu": transforms(batch, 180),
            "target_ori": label,
            "target_weight_ori": weight,
        }
        teacher = [{"aug_param_tea": transforms(batch, 180)}]
        yield image.clone(), None, None, student, [image.clone()], None, None, teacher


def main() -> None:
    """Run the loop and record the median step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--backbone", default="resnet101", choices=["resnet50", "resnet101"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8, help="measured steps")
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    cuda = options.device == "cuda"
    if not cuda:
        torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]  # the loop requires a GPU
    restore_old_names()
    sys.path.insert(0, str(options.checkout.resolve()))
    sys.modules["lib.datasets"] = ModuleType("lib.datasets")  # it needs further libraries, and no data set is read
    reference: Any = importlib.import_module("train_human")
    models: Any = importlib.import_module("lib.models")
    losses: Any = importlib.import_module("lib.models.loss")
    utils: Any = importlib.import_module("utils")
    device = torch.device(options.device)
    make = getattr(models, f"pose_{options.backbone}")
    student, teacher = (make(num_keypoints=KEYPOINTS, pretrained_backbone=False).to(device) for _ in range(2))
    for parameter in teacher.parameters():
        parameter.requires_grad = False
    np.random.seed(0)  # noqa: NPY002  the loop draws from it
    times: list[float] = []
    arguments = SimpleNamespace(
        iters_per_epoch=WARM_UP + options.steps + 1, image_size=options.size, heatmap_size=options.size // 4,
        s2t_freq=0.0, t2s_freq=0.0, k=1, occlude_rate=0.5, occlude_thresh=0.9, occlude_size=20, sigma=2,
        mask_ratio=0.5, lambda_c=1.0, print_freq=10**6,
    )  # fmt: skip
    reference.train(
        batches(options.batch, options.size, times, cuda),
        target_batches(options.batch, options.size),
        student,
        teacher,
        None,
        losses.JointsMSELoss(),
        losses.ConsLoss(),
        torch.optim.Adam(student.parameters(), lr=1e-4),
        utils.OldWeightEMA(teacher, student, alpha=0.999),
        0,
        None,
        arguments,
    )
    steps = np.diff(times)[WARM_UP:]
    median = statistics.median(steps)
    print(
        f"UniFrame's loop, {options.backbone}, {options.size} px, batch {options.batch}: {1e3 * median:.0f} ms a step"
    )
    command = (
        f"python benchmarks/uniframe_loop.py --checkout CHECKOUT --backbone {options.backbone} --size {options.size} "
        f"--batch {options.batch} --steps {options.steps} --device {options.device}"
    )
    append_record(options.out, command, device, step_ms=round(1e3 * median, 1), measured_steps=len(steps))


if __name__ == "__main__":
    main()

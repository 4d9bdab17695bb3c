"""Measure the cost of adapting each image separately.

It compares a training step with per-image inner steps, with a batch-shared step, and with a loop over images; and
test-time optimization of the head for many images at once and one at a time. With a GPU, it also measures images per
second with 14 steps for ResNet-50 and HRNet-W48.

    OMP_NUM_THREADS=1 python benchmarks/meshtto_adaptation.py
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from meshtto.experiments.memory import random_people
from meshtto.methods import Dual
from meshtto.methods.meta import adapted_prediction
from meshtto.methods.options import RegressorOptions
from meshtto.methods.recover import detach_prediction
from meshtto.methods.targets import target_from_evidence
from meshtto.test_time import SGD, Phase, adapt, make_weights
from meshtto.types import MeshBatch


def people(count: int, size: tuple[int, int], device: str) -> MeshBatch:
    """Return random images with plausible labels."""
    torch.manual_seed(0)
    return random_people(count, size).to(device)  # type: ignore[return-value]


def measure(rounds: int, device: str, **functions: Callable[[], Any]) -> dict[str, float]:
    """Return the minimum time of each function in ms; they run alternately under the same load."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds + 1):
        for name, run in functions.items():
            if device != "cpu":
                torch.cuda.synchronize()
            begin = time.perf_counter() if device != "cpu" else time.process_time()
            run()
            if device != "cpu":
                torch.cuda.synchronize()
            end = time.perf_counter() if device != "cpu" else time.process_time()
            best[name] = min(best[name], 1000 * (end - begin))
    return best


class FixedFeatures(torch.nn.Module):
    """A backbone with constant features, so that only the differing parts are measured."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.values = torch.nn.Parameter(torch.randn(count, channels))
        self.num_features = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the constant features."""
        return self.values[: len(images)]


def steps(batch_size: int, iterations: int, rounds: int, device: str) -> dict[str, float]:
    """Measure a training step of CLIFF with 2048 features: inner step, outer forward and backward of head and body."""
    method = Dual(
        lambda p: torch.optim.Adam(p), RegressorOptions(backbone="test_resnet", width=1024, iterations=iterations)
    )
    from meshtto.body import mean_parameters
    from meshtto.regressors import IterativeHead

    for network in (method.regressor, method.auxiliary):
        network.backbone = FixedFeatures(2048, batch_size)
        network.head = IterativeHead(2048, 3, *mean_parameters(method.body), iterations)
    method.to(device).eval()
    batch = people(batch_size, (32, 32), device)
    pseudo = target_from_evidence(batch, detach_prediction(method.pseudo(batch)))
    phase = Phase(1, SGD(1e-5))

    def step(inner: str, count: int = batch_size) -> Callable[[], None]:
        def run() -> None:
            method.zero_grad()
            one = replace(phase, inner=inner)  # type: ignore[arg-type]
            prediction = adapted_prediction(method, batch, one, pseudo, second_order=False)
            method.supervised(prediction, batch).backward()

        return run

    singles = [take(batch, slice(i, i + 1)) for i in range(batch_size)]
    pseudos = [target_from_evidence(one, detach_prediction(method.pseudo(one))) for one in singles]  # fixed, as above

    def loop() -> None:
        method.zero_grad()
        for one, target in zip(singles, pseudos, strict=True):
            prediction = adapted_prediction(method, one, replace(phase, inner="shared"), target, second_order=False)
            (method.supervised(prediction, one) / batch_size).backward()

    def plain() -> None:
        method.zero_grad()
        method.supervised(method(batch), batch).backward()

    found = measure(rounds, device, per_image=step("image"), shared=step("shared"), plain=plain)
    return {**found, **measure(1, device, loop=loop)}


def head_alone(batch_size: int, rounds: int, device: str) -> dict[str, float]:
    """Measure inner step and outer pass of the head without a body, towards constant parameters."""
    from meshtto.body import load_body, mean_parameters
    from meshtto.regressors import Estimate, IterativeHead

    head = IterativeHead(2048, 3, *mean_parameters(load_body())).to(device).eval()
    features, box_features = torch.randn(batch_size, 2048, device=device), torch.randn(batch_size, 3, device=device)

    def loss(estimate: Estimate) -> torch.Tensor:
        return sum((part - 0.1).square().flatten(1).mean(1) for part in estimate)  # type: ignore[return-value]

    def step(inner: str, rows: slice) -> None:
        inputs = (features[rows], box_features[rows])
        weights = make_weights(Phase(1, SGD(1e-5), inner=inner), head)  # type: ignore[arg-type]
        loss(adapt(weights, inputs, loss, 1).output).sum().backward()

    def loop() -> None:
        for i in range(batch_size):
            step("shared", slice(i, i + 1))

    image, shared = (partial(step, inner, slice(None)) for inner in ("image", "shared"))
    return measure(rounds, device, per_image=image, shared=shared, loop=loop)


def take(batch: MeshBatch, rows: slice) -> MeshBatch:
    """Return some rows of a batch."""
    return MeshBatch(**{k: v[rows] for k, v in vars(batch).items()})


def test_time(count: int, number: int, rounds: int, device: str, pseudo_mesh: bool) -> dict[str, float]:
    """Measure `number` steps of the head for `count` images: all at once, and one at a time (for a few images).

    With a pseudo-mesh, every vertex is posed in every step; with 2D keypoints alone, only joints are.
    """
    method = Dual(lambda p: torch.optim.Adam(p), RegressorOptions(backbone="test_resnet", width=1024))
    from meshtto.body import mean_parameters
    from meshtto.regressors import IterativeHead

    for network in (method.regressor, method.auxiliary):
        network.backbone = FixedFeatures(2048, count)
        network.head = IterativeHead(2048, 3, *mean_parameters(method.body))
    method.to(device).eval()
    batch = people(count, (32, 32), device)
    phases = [Phase(number, SGD(1e-5), pseudo_mesh=pseudo_mesh)]
    some = min(count, 4)

    def singles() -> None:
        for i in range(some):
            method.recover(take(batch, slice(i, i + 1)), phases, tolerance=None)

    found = measure(
        rounds, device, at_once=lambda: method.recover(batch, phases, tolerance=None), one_at_a_time=singles
    )
    return {"at_once": found["at_once"] / count, "one_at_a_time": found["one_at_a_time"] / some}


def whole(backbone: str, count: int, device: str) -> dict[str, float]:
    """Measure the time per image with 14 steps of the head, including the backbone."""
    method = Dual(lambda p: torch.optim.Adam(p), RegressorOptions(backbone=backbone)).to(device).eval()
    batch = people(count, (256, 192), device)
    found = measure(3, device, run=lambda: method.recover(batch, [Phase(14, SGD(1e-5))], tolerance=None))
    return {"ms per image": found["run"] / count, "s per step and image": found["run"] / count / 14 / 1000}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--batch-size", type=int, default=40)
    parser.add_argument("--iterations", type=int, nargs="+", default=[3])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    result: dict[str, Any] = {"device": device, "clock": "processor time" if device == "cpu" else "wall time"}
    for iterations in options.iterations:
        ms = steps(options.batch_size, iterations, options.rounds, device)
        result[f"training step, batch {options.batch_size}, {iterations} iterations, ms"] = {
            **{k: round(v, 1) for k, v in ms.items()},
            "per image / shared": round(ms["per_image"] / ms["shared"], 3),
            "loop / per image": round(ms["loop"] / ms["per_image"], 2),
        }
        print(json.dumps(result, indent=1), flush=True)
    ms = head_alone(options.batch_size, options.rounds, device)
    result[f"the head alone, without a body, batch {options.batch_size}, ms"] = {
        **{k: round(v, 1) for k, v in ms.items()},
        "per image / shared": round(ms["per_image"] / ms["shared"], 3),
        "loop / per image": round(ms["loop"] / ms["per_image"], 2),
    }
    for name, pseudo_mesh in (("a mesh and 2D", True), ("2D alone", False)):
        ms = test_time(32, 14, options.rounds, device, pseudo_mesh)
        result[f"14 steps at test time towards {name}, head alone, ms an image"] = {
            **{k: round(v, 2) for k, v in ms.items()},
            "throughput at once / one at a time": round(ms["one_at_a_time"] / ms["at_once"], 2),
        }
    if device == "cuda":
        for backbone in ("resnet50", "hrnet_w48"):
            result[f"{backbone}, 32 images, 14 steps"] = whole(backbone, 32, device)
        result["peak GPU memory, MiB"] = torch.cuda.max_memory_allocated() // 2**20
    result["peak memory of the process, MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

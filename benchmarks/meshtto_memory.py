"""Measure memory and time of test-time optimization per person.

The table contains the memory kept by autograd, the peak memory of the process, and the time per person for batches of
different sizes. Each row is measured in a separate process.

    OMP_NUM_THREADS=1 python benchmarks/meshtto_memory.py --people 4
"""

import argparse
import json
import resource
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import torch
from meshtto_adaptation import people
from torch import Tensor

from meshtto.methods import Dual
from meshtto.methods.options import RegressorOptions
from meshtto.test_time import SGD, Adam, Phase

ALONE: dict[str, Any] = {"pseudo_mesh": False}
CASES: dict[str, list[Phase]] = {
    "no adaptation": [],
    "head, SGD, 2D and pseudo-mesh": [Phase(2, SGD(1e-5))],
    "head, Adam, 2D": [Phase(2, Adam(1e-5), **ALONE)],
    "all weights, SGD, 2D": [Phase(2, SGD(1e-5), scope="all", **ALONE)],
    "all weights, Adam, 2D (EFT)": [Phase(2, Adam(5e-6), scope="all", **ALONE)],
}


class SavedMemory:
    """Current and peak bytes of saved tensors, without some known tensors.

    Args:
        ignored: tensors that do not count, such as parameters.
    """

    def __init__(self, ignored: list[Tensor]) -> None:
        self.known = {tensor.untyped_storage().data_ptr() for tensor in ignored}
        self.now = self.peak = 0
        self.uses: dict[int, int] = {}

    def pack(self, tensor: Tensor) -> Any:
        """Count a saved tensor and return its container."""
        place, size = tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
        if place in self.known:
            return tensor
        self.uses[place] = self.uses.get(place, 0) + 1
        self.now += size if self.uses[place] == 1 else 0
        self.peak = max(self.peak, self.now)
        box = [tensor]
        packed = _Box(box)
        weakref.finalize(packed, self._free, place, size)
        return packed

    def _free(self, place: int, size: int) -> None:
        self.uses[place] -= 1
        self.now -= size if self.uses[place] == 0 else 0


class _Box:
    """An object that is deleted with the graph."""

    def __init__(self, content: list[Tensor]) -> None:
        self.content = content


def unpack(packed: Any) -> Tensor:
    """Return the tensor of a container."""
    return packed.content[0] if isinstance(packed, _Box) else packed


def peak_mib() -> float:
    """Return the peak memory of the process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(case: str, count: int, backbone: str, memory_gib: float | None) -> dict[str, float]:
    """Measure a case in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    method = Dual(lambda p: torch.optim.Adam(p), RegressorOptions(backbone=backbone)).eval()
    if hasattr(method.test_time, "memory_gib"):
        object.__setattr__(method.test_time, "memory_gib", memory_gib)
    batch = people(count, (256, 192), "cpu")
    with torch.no_grad():
        method(people(1, (256, 192), "cpu"))  # load bodies and kernels
    before = peak_mib()
    live = SavedMemory(list(method.parameters()))
    begin = time.process_time()
    with torch.autograd.graph.saved_tensors_hooks(live.pack, unpack):
        method.recover(batch, CASES[case], tolerance=None)
    seconds = time.process_time() - begin
    return {
        "kept by autograd, MiB a person": round(live.peak / 2**20 / count, 1),
        "peak of the process, MiB a person": round((peak_mib() - before) / count, 1),
        "processor seconds a person": round(seconds / count, 2),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--people", type=int, nargs="+", default=[4], help="people in a batch")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--memory-gib", type=float, help="test_time.memory_gib; all people at once by default")
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.people[0], options.backbone, options.memory_gib)))
        return
    print(
        "| moved | people | "
        + " | ".join(("kept by autograd, MiB a person", "peak, MiB a person", "s a person"))
        + " |"
    )
    print("|---|---|---|---|---|")
    limit = [] if options.memory_gib is None else ["--memory-gib", str(options.memory_gib)]
    for case in options.cases:
        for count in options.people:
            words = ["--one", case, "--people", str(count), "--backbone", options.backbone, *limit]
            done = subprocess.run([sys.executable, Path(__file__), *words], capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(f"| {case} | {count} | " + " | ".join(str(value) for value in found.values()) + " |", flush=True)


if __name__ == "__main__":
    main()

"""Measure how many people are rendered per second on one core.

    python benchmarks/render.py [--size 256] [--count 60]

The time includes body, pose, scene, ray casting with 2×2 anti-aliasing and shadows, labels, camera effects and JPEG.
``--against DIR`` also measures the code of another checkout, alternating every few images, because the speed of a
machine varies more than the difference between two revisions.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

STYLES = ("plain", "photo")
_TURN = 16  # images; people are posed in blocks of this size


def serve() -> None:
    """Render the requests of standard input, and print CPU and wall seconds for each."""
    import cv2
    import torch

    from hamipose.synthetic.people.sample import render_person

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for line in sys.stdin:
        request = json.loads(line)
        wall, cpu = time.perf_counter(), time.process_time()
        for index in range(request["first"], request["first"] + _TURN):
            render_person(request["style"], index, size=request["size"], device=request["device"])
        print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall]), flush=True)


class Checkout:
    """A process that renders with the code of a checkout."""

    def __init__(self, folder: Path, device: str):
        environment = os.environ | {"PYTHONPATH": str(folder)}
        command = [sys.executable, __file__, "--serve"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.device = device

    def render(self, style: str, size: int, first: int) -> list[float]:
        """Return CPU and wall seconds for the images from `first` on."""
        request = {"style": style, "size": size, "first": first, "device": self.device}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def main() -> None:
    """Print a line per style and checkout."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--style", choices=STYLES, help="one style only")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda:0 (then use the wall time)")
    parser.add_argument("--against", type=Path, help="another checkout to compare with")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    checkouts = {"this": Checkout(Path(__file__).resolve().parents[1], options.device)}
    if options.against is not None:
        checkouts["other"] = Checkout(options.against.resolve(), options.device)
    load = os.getloadavg()[0]
    print(f"{platform.processor() or platform.machine()}, {options.size}×{options.size}, load before: {load:.1f}")
    for style in [options.style] if options.style else STYLES:
        for checkout in checkouts.values():
            checkout.render(style, options.size, 0)  # load and compile
        turns: dict[str, list[list[float]]] = {name: [] for name in checkouts}
        for first in range(_TURN, _TURN + options.count, _TURN):
            for name, checkout in checkouts.items():
                turns[name].append(checkout.render(style, options.size, first))
        for name, times in turns.items():
            cpu, wall = (_TURN / statistics.median(column) for column in zip(*times, strict=True))
            best = _TURN / min(turn[0] for turn in times)
            print(
                f"{style:5} {name:5}  {cpu:5.1f} images per CPU second (median of {len(times)} turns; "
                f"best {best:.1f}), {wall:.1f} per wall second",
                flush=True,
            )
        if len(turns) == 2:
            ratios = [o[0] / t[0] for t, o in zip(turns["this"], turns["other"], strict=True)]
            print(f"{style:5} median speed relative to the other checkout: {statistics.median(ratios):.2f}")
    for checkout in checkouts.values():
        assert checkout.process.stdin is not None
        checkout.process.stdin.close()
        checkout.process.wait()


if __name__ == "__main__":
    main()

"""How many built-in people a second, on one core: ``python benchmarks/render.py [--size 256] [--count 60]``.

Everything is counted: body, pose, scene, ray casting with 2×2 anti-aliasing and shadows, labels, finishing, JPEG.
``--against DIR`` measures the code of another checkout in the same run, a few pictures of each in turns, since a
machine's speed varies by more than the difference between two revisions.
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
_TURN = 16  # pictures: people are posed in blocks of so many


def serve() -> None:
    """Renders what lines of standard input ask for, and answers with seconds of the processor and of the clock."""
    import cv2
    import torch

    from hamipose.synthetic.people.sample import render_person

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for line in sys.stdin:
        asked = json.loads(line)
        clock, processor = time.perf_counter(), time.process_time()
        for index in range(asked["first"], asked["first"] + _TURN):
            render_person(asked["style"], index, size=asked["size"], device=asked["device"])
        print(json.dumps([time.process_time() - processor, time.perf_counter() - clock]), flush=True)


class Checkout:
    """A process that renders with the code of a folder."""

    def __init__(self, folder: Path, device: str):
        environment = os.environ | {"PYTHONPATH": str(folder)}
        command = [sys.executable, __file__, "--serve"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.device = device

    def render(self, style: str, size: int, first: int) -> list[float]:
        """Seconds of the processor and of the clock for the pictures from `first` on."""
        asked = {"style": style, "size": size, "first": first, "device": self.device}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def main() -> None:
    """Prints one line for each style and checkout."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--style", choices=STYLES, help="one style only")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda:0 (then wall time is the one that counts)")
    parser.add_argument("--against", type=Path, help="another checkout to measure in turns with this one")
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
            checkout.render(style, options.size, 0)  # loads and compiles
        turns: dict[str, list[list[float]]] = {name: [] for name in checkouts}
        for first in range(_TURN, _TURN + options.count, _TURN):
            for name, checkout in checkouts.items():
                turns[name].append(checkout.render(style, options.size, first))
        for name, found in turns.items():
            processor, clock = (_TURN / statistics.median(column) for column in zip(*found, strict=True))
            best = _TURN / min(turn[0] for turn in found)
            print(
                f"{style:5} {name:5}  {processor:5.1f} images per processor second (median of {len(found)} turns; "
                f"best {best:.1f}), {clock:.1f} per second by the clock",
                flush=True,
            )
        if len(turns) == 2:
            ratios = [o[0] / t[0] for t, o in zip(turns["this"], turns["other"], strict=True)]
            print(f"{style:5} speed of this one relative to the other, turn by turn: {statistics.median(ratios):.2f}")
    for checkout in checkouts.values():
        assert checkout.process.stdin is not None
        checkout.process.stdin.close()
        checkout.process.wait()


if __name__ == "__main__":
    main()

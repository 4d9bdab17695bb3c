"""How many built-in people a second, on one core: ``python benchmarks/render.py [--size 256] [--count 60]``.

Everything is counted: body, pose, scene, ray casting with 2×2 anti-aliasing and shadows, labels, finishing, JPEG.
"""

import argparse
import os
import platform
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import cv2  # noqa: E402
import torch  # noqa: E402

from hamipose.synthetic.people import LOOKS, picture_person  # noqa: E402
from hamipose.synthetic.raycast import Renderer  # noqa: E402


def main() -> None:
    """Prints one line a look."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda:0 (then wall time is the one that counts)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)

    casting = [0.0]
    picture = Renderer.picture

    def timed(self: Renderer) -> object:
        start = time.process_time()
        found = picture(self)
        casting[0] += time.process_time() - start
        return found

    Renderer.picture = timed  # type: ignore[method-assign]
    load = os.getloadavg()[0]
    print(f"{platform.processor() or platform.machine()}, {options.size}×{options.size}, load before: {load:.1f}")
    for look in LOOKS:
        for index in range(3):
            picture_person(look, index, size=options.size, device=options.device)
        casting[0] = 0.0
        wall, cpu = time.perf_counter(), time.process_time()
        for index in range(options.count):
            picture_person(look, index, size=options.size, device=options.device)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        each, casting_each = 1e3 * cpu / options.count, 1e3 * casting[0] / options.count
        print(
            f"{look:5}  {options.count / wall:5.1f} images/s by the clock, {options.count / cpu:5.1f} per core second:"
        )
        print(f"       {each:.0f} ms an image, {casting_each:.0f} ms of it casting rays")


if __name__ == "__main__":
    main()

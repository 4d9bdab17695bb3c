"""Compare ways to warp heatmaps into the student's view: one sampling per batch, and loops of torchvision calls.

    python benchmarks/heatmap_warp.py [--batch 32] [--device cpu] [--rounds 40]

The loops process images one by one, as published code does. torchvision's affine map is shift ∘ rotation ∘ shear ∘
scale, whose inverse takes three calls, so teacher → student takes four. UniFrame warps both the teacher's and the
student's heatmaps back to the plain crop, with three nearest-cell calls each. One call is a lower bound of any loop,
but a different map. Our function also exchanges left and right of mirrored views and marks the known cells.

Our function gets channels-last heatmaps, as our networks return them; `grid_sample` and the loops get channels-first
ones, which suit them. All heatmaps contain noise, as network outputs do: the tails of exact Gaussians are denormal
numbers, which are slow. Rounds alternate between the candidates, and the script prints medians. On a shared CPU, use
`OMP_NUM_THREADS=1` and `--cpu-time`, which do not count waiting.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from records import append_record
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine

from hamipose.geometry.affine import compose, invert
from hamipose.heatmaps import encode, warp_heatmaps
from hamipose.skeletons import BODY16

RESULT = Path(__file__).parent / "results" / "heatmap_warp.json"
BILINEAR, NEAREST = InterpolationMode.BILINEAR, InterpolationMode.NEAREST


class View:
    """Random shift (cells), rotation and shear in x (degrees), and scale per image, as in torchvision."""

    def __init__(self, batch: int, cells: int) -> None:
        self.shift = ((torch.rand(batch, 2) - 0.5) * 0.1 * cells).round()
        self.angle = torch.rand(batch) * 120 - 60
        self.shear = torch.rand(batch) * 40 - 20
        self.scale = torch.rand(batch) * 0.7 + 0.6
        self.parameters = list(
            zip(self.shift.tolist(), self.angle.tolist(), self.shear.tolist(), self.scale.tolist(), strict=True)
        )

    def matrix(self, size: int, stride: int) -> torch.Tensor:
        """Return the map from the plain crop to the view, in pixels."""
        turn, slant = torch.deg2rad(self.angle), torch.deg2rad(self.shear)
        rotation = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], 1).view(-1, 2, 2)
        shear = torch.eye(2).repeat(len(turn), 1, 1)
        shear[:, 0, 1] = -slant.tan()
        linear = self.scale.view(-1, 1, 1) * rotation @ shear
        center = torch.full((2,), (size - 1) / 2)
        return torch.cat([linear, (center + stride * self.shift - linear @ center)[..., None]], 2)


def undo(maps: torch.Tensor, view: tuple, mode: InterpolationMode) -> torch.Tensor:
    """Warp a view back to the plain crop with three calls."""
    (dx, dy), angle, shear, scale = view
    maps = affine(maps, 0.0, [-dx, -dy], 1.0, [0.0, 0.0], mode)
    maps = affine(maps, -angle, [0.0, 0.0], 1 / scale, [0.0, 0.0], mode)
    return affine(maps, 0.0, [0.0, 0.0], 1.0, [-shear, 0.0], mode)


def apply(maps: torch.Tensor, view: tuple, mode: InterpolationMode) -> torch.Tensor:
    """Warp the plain crop into a view with one call."""
    shift, angle, shear, scale = view
    return affine(maps, angle, shift, scale, [shear, 0.0], mode)


def four_calls(maps: torch.Tensor, teacher: View, student: View) -> torch.Tensor:
    """Warp from the teacher's to the student's view, without mirroring."""
    out = torch.zeros_like(maps)
    for i, (theirs, mine) in enumerate(zip(teacher.parameters, student.parameters, strict=True)):
        out[i] = apply(undo(maps[i], theirs, BILINEAR), mine, BILINEAR)
    return out


def uniframe(maps: torch.Tensor, teacher: View, student: View) -> tuple[torch.Tensor, torch.Tensor]:
    """Warp both networks' heatmaps back to the plain crop."""
    first, second = torch.zeros_like(maps), torch.zeros_like(maps)
    for i, (theirs, mine) in enumerate(zip(teacher.parameters, student.parameters, strict=True)):
        first[i] = undo(maps[i], theirs, NEAREST)
        second[i] = undo(maps[i], mine, NEAREST)
    return first, second


def one_call(maps: torch.Tensor, student: View) -> torch.Tensor:
    """Warp the plain crop into the student's view."""
    out = torch.zeros_like(maps)
    for i, mine in enumerate(student.parameters):
        out[i] = apply(maps[i], mine, BILINEAR)
    return out


def main() -> None:
    """Check the results, measure, print a table, and append to the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--cells", type=int, default=64)
    parser.add_argument("--cpu-time", action="store_true", help="CPU time instead of wall time")
    options = parser.parse_args()
    now = time.process_time if options.cpu_time else time.perf_counter

    torch.manual_seed(0)
    device, size = torch.device(options.device), 4 * options.cells
    keypoints = torch.rand(options.batch, len(BODY16), 2) * size * 0.6 + size * 0.2
    maps = encode(keypoints, (size, size))
    maps = (maps + 1e-3 * torch.randn_like(maps)).to(device)
    last = maps.contiguous(memory_format=torch.channels_last)
    teacher, student = View(options.batch, options.cells), View(options.batch, options.cells)
    student_from_teacher = compose(student.matrix(size, 4), invert(teacher.matrix(size, 4))).to(device)
    mirrored = torch.arange(options.batch, device=device) % 2 == 0

    # Check that both compute the same map. The loop samples four times, which flattens peaks and loses those that leave
    # the frame in between, so only peaks of both are compared.
    ours = warp_heatmaps(last, student_from_teacher, torch.zeros_like(mirrored), BODY16.mirror)[0]
    theirs = four_calls(maps, teacher, student)
    both = (theirs.amax((2, 3)) > 0.5) & (ours.amax((2, 3)) > 0.5)
    apart = (ours - theirs).abs().amax((2, 3))[both].median().item()
    assert apart < 0.2, f"not the same map: median of the largest differences {apart}"

    candidates = {
        "one sampling (ours)": lambda: warp_heatmaps(last, student_from_teacher, mirrored, BODY16.mirror),
        "loop, same map, 4 calls, bilinear": lambda: four_calls(maps, teacher, student),
        "loop, UniFrame, 3 + 3 calls, nearest": lambda: uniframe(maps, teacher, student),
        "loop, 1 call, bilinear": lambda: one_call(maps, student),
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for round_ in range(options.rounds + 5):
        for name, candidate in candidates.items():
            _wait(device)
            start = now()
            candidate()
            _wait(device)
            if round_ >= 5:  # warm-up
                times[name].append(now() - start)

    medians = {name: statistics.median(values) for name, values in times.items()}
    first = medians["one sampling (ours)"]
    print(f"{'heatmaps ' + ' x '.join(map(str, maps.shape)):38} median ms   ours is faster by")
    for name, median in medians.items():
        print(f"{name:38} {median * 1e3:9.2f}   {median / first:6.1f} x")
    command = f"python benchmarks/heatmap_warp.py --batch {options.batch} --cells {options.cells} --device {device}"
    append_record(
        RESULT,
        command + (" --cpu-time" if options.cpu_time else ""),
        device,
        heatmaps=list(maps.shape),
        rounds=options.rounds,
        median_ms={name: round(median * 1e3, 3) for name, median in medians.items()},
        faster={name: round(median / first, 2) for name, median in medians.items()},
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()

"""Compare data loading with the reference: samples per second and core, from JPEG to an augmented 256-pixel crop.

    python benchmarks/loading.py --lsp FOLDER [--tll CHECKOUT --uniframe CHECKOUT] [--photos 400] [--index-rows 1000000]

FOLDER: Leeds Sports Pose. The reference is the chain of PIL, torchvision and NumPy in RegDA (rotation, window, jitter,
blur) and UniFrame (window, affine, jitter), up to normalized tensors and target heatmaps. The script always runs a
reimplementation, and the original code too if working trees are given (thuml/Transfer-Learning-Library,
VisionLearningGroup/UDA_PoseEstimation). Our samples contain bytes and keypoints, because normalization and target
heatmaps are computed on the device; "with targets" computes both on the CPU. One thread, CPU time; the candidates
alternate on blocks of the same photos, and the script prints medians over blocks.

It also measures the memory for millions of samples: bytes per sample in the table of `hamipose.data.Prepared`, and in a
process.
"""

import argparse
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision.transforms import ColorJitter, RandomResizedCrop
from torchvision.transforms import functional as TF

from hamipose.data import LeedsSports, Prepared
from hamipose.data.catalog.prepare import prepare
from hamipose.data.catalog.shards import FORMAT, record_dtype
from hamipose.data.sampling import Pool
from hamipose.data.views import PRESETS
from hamipose.geometry.affine import compose, crop_matrix
from hamipose.geometry.crops import labels_in_view
from hamipose.heatmaps import encode
from hamipose.models.preprocess import normalize

RESULT = Path(__file__).parent / "results" / "loading.json"
BLOCK = 10
FRAMES = 6_500_000  # of SURREAL
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def target_maps(points: np.ndarray) -> np.ndarray:
    """Return 64 × 64 heatmaps with a 13 × 13 Gaussian each, computed in NumPy joint by joint."""
    maps = np.zeros((len(points), 64, 64), np.float32)
    grid = np.arange(13, dtype=np.float32)
    for joint, point in enumerate(points):
        x, y = (int(v / 4 + 0.5) for v in point)
        if not (0 <= x < 64 and 0 <= y < 64):
            continue
        bell = np.exp(-((grid[None] - 6) ** 2 + (grid[:, None] - 6) ** 2) / 8)
        left, top, right, bottom = max(0, x - 6), max(0, y - 6), min(64, x + 7), min(64, y + 7)
        maps[joint, top:bottom, left:right] = bell[top - y + 6 : bottom - y + 6, left - x + 6 : right - x + 6]
    return maps


def letterbox(image: Image.Image, points: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """Return the whole photo in a square of 256 pixels, as both methods use LSP."""
    scale = 256 / max(image.size)
    width, height = (int(v * scale) for v in image.size)
    square = Image.new("RGB", (256, 256))
    square.paste(image.resize((width, height), Image.Resampling.BILINEAR), ((256 - width) // 2, (256 - height) // 2))
    return square, points * scale + ((256 - width) / 2, (256 - height) / 2)


def to_sample(image: Image.Image, points: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """Return normalized image and target heatmaps."""
    return TF.normalize(TF.to_tensor(image), MEAN, STD), target_maps(points)


def crop_window(image: Image.Image, points: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """Return a random square window of 60 to 100 % of the area, resized to 256 pixels."""
    top, left, side, _ = RandomResizedCrop.get_params(image, [0.6, 1.0], [1.0, 1.0])
    image = TF.resized_crop(image, top, left, side, side, [256, 256])
    return image, (points - (left, top)) * 256 / side


JITTER = ColorJitter(0.25, 0.25, 0.25)


def regda(image: Image.Image, points: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """Apply rotation, window, jitter and blur."""
    image, points = letterbox(image, points)
    angle = random.uniform(-30, 30)
    image, turn = TF.rotate(image, angle), np.deg2rad(-angle)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    image, points = crop_window(image, (points - 128) @ turned.T + 128)
    image = JITTER(image).filter(ImageFilter.GaussianBlur(random.uniform(0, 0.8)))
    return to_sample(image, points)


def uniframe(image: Image.Image, points: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """Apply window, affine map and jitter."""
    image, points = crop_window(*letterbox(image, points))
    angle, shear, scale = random.uniform(-60, 60), random.uniform(-30, 30), random.uniform(0.6, 1.3)
    shift = [random.randint(-12, 12), random.randint(-12, 12)]
    image = TF.affine(image, angle, shift, scale, [shear, 0.0])
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = scale * rotation @ np.array([[1, -np.tan(np.deg2rad(shear))], [0, 1]])
    return to_sample(JITTER(image), (points - 128) @ linear.T + 128 + shift)


def original_chains(tll: Path, other: Path) -> dict[str, Callable[[Image.Image, np.ndarray], Any]]:
    """Return both chains built from the original classes."""
    sys.path.insert(0, str(Path(__file__).parent))
    from parity import reference

    chains = {}
    for name, ref in zip(("regda", "uniframe"), reference(tll, other), strict=True):
        t = ref.transforms
        if name == "regda":
            steps = [t.RandomRotation(30), t.RandomResizedCrop(256, (0.6, 1.3)), t.ColorJitter(0.25, 0.25, 0.25)]
            steps += [t.GaussianBlur()]
        else:
            moved = t.RandomAffineRotation(60, (-30, 30), (0.05, 0.05), (0.6, 1.3))
            steps = [
                t.RandomResizedCrop(256, (0.6, 1.3)),
                moved,
                t.ColorJitter(0.25, 0.25, 0.25),
                t.GaussianBlur(high=0),
            ]
        chain = t.Compose([t.ResizePad(256), *steps, t.ToTensor(), t.Normalize(MEAN, STD)])
        draw = ref.util.generate_target

        def run(image: Image.Image, points: np.ndarray, chain: Any = chain, draw: Any = draw) -> Any:
            tensor, labels = chain(image, keypoint2d=points, intrinsic_matrix=np.eye(3))
            return tensor, draw(labels["keypoint2d"], np.ones((len(points), 1), np.float32), (64, 64), 2, (256, 256))

        chains[name] = run
    return chains


def candidates(lsp: Path, packed: Path, options: argparse.Namespace) -> dict[str, Callable[[int], Any]]:
    """Return name → function from photo number to training sample."""
    raw = LeedsSports(str(lsp), "test")
    prepared = Prepared(str(packed), "test")
    joints, _ = raw.labels

    def ours(dataset: Any, preset: str, with_targets: bool = False) -> Callable[[int], Any]:
        views = PRESETS[preset]

        def sample(number: int) -> Any:
            person = dataset[number]
            view = views.view(person, 256, np.random.default_rng((0, number)))
            matrix = compose(view.matrix, crop_matrix(person.box_px, 256))
            points, visibility = labels_in_view(person.keypoints_px, person.visibility, matrix, 256)
            image = torch.from_numpy(np.ascontiguousarray(view.image.transpose(2, 0, 1)))
            if with_targets:
                image = normalize(image[None])
                return image, encode(torch.from_numpy(points)[None], (256, 256), quantize=True)
            return image, points, visibility

        return sample

    def theirs(chain: Callable[[Image.Image, np.ndarray], Any]) -> Callable[[int], Any]:
        def sample(number: int) -> Any:
            return chain(Image.open(lsp / "images" / f"im{1001 + number:04d}.jpg"), joints[number].astype(float))

        return sample

    found: dict[str, Callable[[int], Any]] = {}
    for name, chain in (("regda", regda), ("uniframe", uniframe)):
        found[f"{name}: re-statement"] = theirs(chain)
    if options.tll and options.uniframe:
        for name, chain in original_chains(options.tll, options.uniframe).items():
            found[f"{name}: reference"] = theirs(chain)
    for name in ("regda", "uniframe", "hamipose", "none"):
        found[f"{name}: ours"] = ours(raw, name)
    for name in ("regda", "uniframe"):
        found[f"{name}: ours, prepared"] = ours(prepared, name)
        found[f"{name}: ours, with targets"] = ours(raw, name, True)
    return found


def anonymous_bytes() -> int:
    """Return the private memory of this process, without mapped files."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("Anonymous:")).split()[1])


def index_memory(rows: int) -> dict[str, Any]:
    """Measure a table of that many people with random reads."""
    kind = record_dtype(16)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "strict" / "train"
        folder.mkdir(parents=True)
        table = np.lib.format.open_memmap(folder / "rows.npy", "w+", kind, (rows,))
        table["source"] = np.arange(rows)
        table.flush()
        del table
        about = {"format": FORMAT, "skeleton": "body16", "rows": rows, "skipped": 0, "settings": {}, "sha256": {}}
        (folder / "split.json").write_text(json.dumps(about))
        dataset = Prepared(temporary)
        before = anonymous_bytes()
        start = time.perf_counter()
        assert len(dataset) == rows
        opened = time.perf_counter() - start
        for number in np.random.default_rng(0).integers(rows, size=20_000):
            assert dataset.records[int(number)]["source"] == number
        of_table = anonymous_bytes() - before
        pool: Pool = Pool([dataset], seed=0, stream=0)
        pool.index(0)
        order = pool._order[1].nbytes + pool.unreadable.nbytes  # type: ignore[index]
        return {
            "rows": rows,
            "bytes a row in the table, on disk": kind.itemsize,
            "table on disk, MB": round((folder / "rows.npy").stat().st_size / 1e6, 1),
            "opening it, ms": round(opened * 1e3, 1),
            "memory after 20,000 random reads, MB": round(of_table / 1e6, 2),
            "memory of the order and of what is broken, bytes a sample": round(order / rows, 2),
            "of 6.5 million frames": {
                "table on disk, GB": round(FRAMES * kind.itemsize / 1e9, 2),
                "memory of a process, MB": round(FRAMES * order / rows / 1e6, 1),
            },
        }


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lsp", type=Path, required=True)
    parser.add_argument("--tll", type=Path)
    parser.add_argument("--uniframe", type=Path)
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--index-rows", type=int, default=1_000_000)
    options = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    random.seed(0)
    index = index_memory(options.index_rows)  # first, before other allocations
    print(json.dumps(index, indent=1))
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        prepare("lsp", str(options.lsp), temporary, split=["test"], workers=0, progress=False)
        running = candidates(options.lsp, Path(temporary), options)
        for block in range(-2, options.photos // BLOCK):  # warm-up
            numbers = [n % 1000 for n in range((block + 2) * BLOCK, (block + 3) * BLOCK)]
            for name, sample in running.items():
                start = time.process_time()
                for number in numbers:
                    sample(number)
                if block >= 0:
                    times.setdefault(name, []).append((time.process_time() - start) / BLOCK)
    per_sample = {name: statistics.median(values) for name, values in times.items()}
    ratios = {}
    for name in ("regda", "uniframe"):
        for other in ("reference", "re-statement"):
            if f"{name}: {other}" in times:
                for mine in ("ours", "ours, prepared", "ours, with targets"):
                    pairs = zip(times[f"{name}: {other}"], times[f"{name}: {mine}"], strict=True)
                    ratios[f"{name}: {other} / {mine}"] = round(statistics.median(a / b for a, b in pairs), 2)
    # A step of 32 + 32 images: one view per source photo, two views (student and teacher) per target photo.
    one = {name: per_sample[f"{name}: ours"] for name in ("regda", "uniframe", "none")}
    step = {
        "regda, teacher sees the plain crop": 32 * one["regda"] + 32 * (one["regda"] + one["none"]),
        "uniframe, two views": 32 * one["uniframe"] + 64 * one["uniframe"],
    }
    print(f"{'':36} ms a sample   a second and core")
    for name, value in per_sample.items():
        print(f"{name:36} {value * 1e3:11.2f} {1 / value:19.0f}")
    for name, ratio in ratios.items():
        print(f"{name:48} {ratio:6.2f} x")
    record = {
        "command": f"python benchmarks/loading.py --lsp … --tll … --uniframe … --photos {options.photos}",
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, one thread, processor time",
        "versions": {"opencv": cv2.__version__, "torch": torch.__version__, "pillow": Image.__version__},
        "ms_per_sample": {name: round(value * 1e3, 3) for name, value in per_sample.items()},
        "samples_per_second_and_core": {name: round(1 / value) for name, value in per_sample.items()},
        "faster_paired_median": ratios,
        "a step of 32 + 32 with 8 workers, ms": {name: round(value / 8 * 1e3, 1) for name, value in step.items()},
        "index": index,
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record["a step of 32 + 32 with 8 workers, ms"], indent=1))


if __name__ == "__main__":
    main()

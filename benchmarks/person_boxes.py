"""Compare crops of person detectors with crops from labels, on LSP and LSP-Extended.

    python benchmarks/person_boxes.py ../shared/data DETECTOR ... > benchmarks/results/person_boxes.md

DETECTOR: as for `predict --detector`, or `hog` for OpenCV's people detector (OpenCV 4.x, or contrib 5). Two hundred
photos each: from LSP's test half, and from 3601 to 4000 of LSP-Extended, those with at least ten labeled joints.
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np
from scipy.io import loadmat

from hamipose.geometry.crops import keypoint_box, padded_box, whole_image_box
from hamipose.inference.detection import open_detector
from hamipose.io.image_file import read_image
from hamipose.models.person_detection import PersonDetector

MARGIN = 1.25


class Hog(PersonDetector):
    """OpenCV's people detector on images of twice the size, because its window is 64 × 128 pixels."""

    def __init__(self):
        self.name, self.threshold = f"hog (OpenCV {cv2.__version__})", 0.0
        self.hog = cv2.HOGDescriptor()
        self.hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return boxes with scores, best first."""
        scale = max(2, 160 / image.shape[0], 80 / image.shape[1])
        bgr = cv2.cvtColor(cv2.resize(image, None, fx=scale, fy=scale), cv2.COLOR_RGB2BGR)
        boxes, scores = self.hog.detectMultiScale(bgr, winStride=(8, 8), padding=(16, 16), scale=1.05)
        people = np.concatenate([np.reshape(boxes, (-1, 4)) / scale, np.reshape(scores, (-1, 1))], 1)
        return people[np.argsort(-people[:, 4])].astype(np.float32)


def photos(root: Path) -> dict[str, list[tuple[Path, np.ndarray]]]:
    """Return path and labeled joints (n × 2) of each photo."""
    lsp = loadmat(root / "lsp/joints.mat")["joints"]
    more = loadmat(root / "lspet/joints.mat")["joints"]
    numbers = np.linspace(1000, 1999, 200).astype(int), np.linspace(3600, 3999, 200).astype(int)
    return {
        "lsp": [(root / f"lsp/images/im{i + 1:04d}.jpg", lsp[:2, :, i].T) for i in numbers[0]],
        "lspet": [
            (root / f"lspet/images/im{i + 1:05d}.jpg", more[seen, :2, i])
            for i in numbers[1]
            if (seen := more[:, 2, i] > 0).sum() >= 10
        ],
    }


def square(box: np.ndarray) -> np.ndarray:
    """Return the square crop of a box."""
    side = box[2:].max()
    return np.array([*(box[:2] + box[2:] / 2 - side / 2), side, side])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over union."""
    inner = np.clip(np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(inner / (a[2:].prod() + b[2:].prod() - inner))


def row(name: str, detector: PersonDetector | None, examples: list[tuple[Path, np.ndarray]]) -> str:
    """Return a row of the table."""
    found, near, overlaps, inside, began = 0, 0, [], [], time.process_time()
    for path, joints in examples:
        image = read_image(path)
        true = square(padded_box(keypoint_box(joints), MARGIN))
        people = [whole_image_box(image.shape[1], image.shape[0])] if detector is None else detector(image)
        crops = [square(p[:4] if detector is None else padded_box(p[:4], MARGIN)) for p in people]
        found += bool(crops)
        if crops:
            near += max(overlap(true, crop) for crop in crops) >= 0.5
            inside.append(((joints >= crops[0][:2]) & (joints <= crops[0][:2] + crops[0][2:])).all(1).mean())
        overlaps.append(overlap(true, crops[0]) if crops else 0.0)
    share = 100 / len(examples)
    took = 1000 * (time.process_time() - began) / len(examples)
    return (
        f"| {name} | {share * found:.0f} | {share * near:.0f} | {np.mean(overlaps):.2f} | {100 * np.mean(inside):.1f} "
        f"| {took:.0f} |"
    )


def main() -> None:
    """Run the benchmark."""
    root, *detectors = sys.argv[1:]
    print("# Crops of person detectors compared with crops from labels\n")
    command = " ".join(["python benchmarks/person_boxes.py", root, *(Path(name).name for name in detectors)])
    print(f"`{command}`, OpenCV {cv2.__version__}, one thread, on a shared machine.")
    print("A crop is the square around 1.25 times a box; for labels, around the box of the joints.\n")
    for title, examples in photos(Path(root)).items():
        print(f"## {title}, {len(examples)} photos\n")
        print(
            "| detector | photos with a detection, % | a crop with IoU ≥ 0.5, % | mean IoU of the best crop | ",
            end="",
        )
        print("joints inside it, % | CPU time, ms |\n|---|---|---|---|---|---|")
        print(row("whole image", None, examples))
        for name in detectors:
            detector = Hog() if name == "hog" else open_detector(name)
            print(row(detector.name, detector, examples), flush=True)
        print()


if __name__ == "__main__":
    main()

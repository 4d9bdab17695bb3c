"""Every family of shipped configs runs to its end in two processes, and its scores are those of one process."""

import colorsys
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from hamipose.skeletons import BODY16, HAND21, Skeleton
from tests.helpers.shipped import families, reduced

pytestmark = pytest.mark.slow

SECONDS = 900  # for all runs of a package; two idle cores need a tenth of it


def draw(root: Path, skeleton: Skeleton, count: int, dark: bool) -> None:
    """A COCO folder of pictures on which each keypoint is a dot of its own color."""
    rng = np.random.default_rng(count)
    (root / "images").mkdir(parents=True)
    images, people = [], []
    for number in range(count):
        picture = np.full((40, 40, 3), 20 if dark else 230, np.uint8)
        points = rng.uniform(4, 36, (len(skeleton), 2)).round(2)
        for k, (x, y) in enumerate(points):
            color = [int(255 * c) for c in colorsys.hsv_to_rgb(k / len(skeleton), 1, 0.6 if dark else 1)]
            cv2.circle(picture, (round(x), round(y)), 3, color, -1)
        cv2.imwrite(str(root / "images" / f"{number}.png"), picture)
        images.append({"id": number, "file_name": f"{number}.png", "width": 40, "height": 40})
        labels = np.column_stack([points, np.full(len(points), 2)]).ravel().tolist()
        person = {"id": number, "image_id": number, "category_id": 1, "bbox": [0, 0, 40, 40], "keypoints": labels}
        people.append(person)
    categories = [{"id": 1, "name": "person", "keypoints": list(skeleton.keypoints)}]
    content = {"images": images, "annotations": people, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of labeled light people and hands, and of dark ones."""
    root = tmp_path_factory.mktemp("drawn")
    for skeleton in (BODY16, HAND21):
        draw(root / skeleton.name / "light", skeleton, 12, dark=False)
        draw(root / skeleton.name / "dark", skeleton, 8, dark=True)
    return root


def carry_out(runs: list[tuple[str, str, list[str]]], together: bool) -> None:
    """Carry out runs; kill all processes and fail where the time is up.

    Args:
        runs: package, name, and words of the command line of each.
        together: two processes take part in each run; else each run has one process.
    """
    script = Path(__file__).parents[1] / "helpers" / "carry_out.py"
    path = os.pathsep.join([str(script.parent), *(p for p in sys.path if p)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    commands = [[sys.executable, *torchrun, str(script), json.dumps(runs)]]
    if not together:
        commands = [[sys.executable, str(script), json.dumps(half)] for half in (runs[::2], runs[1::2])]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = [subprocess.Popen(c, env=environment, start_new_session=True, **pipes) for c in commands]
    deadline = time.monotonic() + SECONDS
    try:
        told = [process.communicate(timeout=deadline - time.monotonic())[0] for process in started]
    except subprocess.TimeoutExpired:
        told = [f"killed after {SECONDS} s"]
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                told.append(process.communicate()[0])
    last = [line for line in "\n".join(told).splitlines() if line.startswith("begun: ")][-1:]
    assert [process.returncode for process in started] == [0] * len(started), f"{last}\n{told[-1][-6000:]}"


def written(package: str, drawn: Path, folder: Path) -> dict[str, Path]:
    """Name of each family and its tiny config; the run's folder is named like the config."""
    configs = {}
    for name, path in families(package).items():
        config = folder / f"{name.replace('/', '-')}.yaml"
        config.write_text(yaml.safe_dump(reduced(path, drawn, folder / config.stem), sort_keys=False))
        configs[name] = config
    return configs


def scores(path: Path) -> dict[str, float]:
    """All numbers of a score file, by their place in it, but for where the run ended."""
    flat: dict[str, float] = {}

    def walk(value: object, where: str) -> None:
        if isinstance(value, dict | list):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                walk(inner, f"{where}/{key}")
        elif isinstance(value, int | float):
            flat[where] = value

    walk({k: v for k, v in json.loads(path.read_text()).items() if not k.startswith("last_")}, "")
    return flat


@pytest.mark.parametrize("package", ["hamipose", "meshtto"])
def test_every_family_runs_in_two_processes_and_scores_as_in_one(package: str, drawn: Path, tmp_path: Path):
    configs = written(package, drawn, tmp_path)
    two = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    fits = [(package, name, ["fit", "--config", str(config), *two]) for name, config in configs.items()]
    name, config = next(iter(configs.items()))
    checkpoint = ["--ckpt_path", str(config.with_suffix("") / "checkpoints" / "last.ckpt")]
    others = [
        (package, f"{verb} {name}", [verb, "--config", str(config), *two, *checkpoint]) for verb in ("test", "predict")
    ]
    carry_out([*fits, *others], together=True)

    alone = []
    for name, config in configs.items():
        run = config.with_suffix("")
        assert (run / "checkpoints" / "last.ckpt").is_file(), name
        assert len(list(run.glob("checkpoints/*selected.ckpt"))) == 1, name
        assert list(run.glob("images/*.png")), name
        alone.append(
            (
                package,
                name,
                ["validate", "--config", str(config), "--ckpt_path", str(run / "checkpoints" / "last.ckpt")],
            )
        )
    carry_out(alone, together=False)
    for name, config in configs.items():
        run = config.with_suffix("")
        one, together = scores(run / "scores-validate.json"), scores(run / "scores.json")
        assert together["/step"] == 6
        # The published codes average over batches, so their scores are defined for one process alone.
        common = {key for key in one.keys() & together.keys() if "/paper-" not in key}
        assert len(common) > 5
        for key in common:
            assert together[key] == pytest.approx(one[key], rel=1e-4, abs=1e-6), f"{name}: {key}"
    predictions = list(config.parent.glob("*/predictions.*"))
    assert len(predictions) == 1

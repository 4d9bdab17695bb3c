"""Every family of shipped configs trains in two processes, and its scores equal those of one process."""

import json
from pathlib import Path

import pytest
import yaml

from hamipose.skeletons import BODY16, HAND21
from tests.helpers.dot_images import write_dots
from tests.helpers.processes import run_script
from tests.helpers.shipped_configs import find_families, shrink_config

pytestmark = pytest.mark.slow

#: The progress bar and the first evaluation are the same for all configs; the first one has them.
_NO_BAR = ["--trainer.enable_progress_bar", "false"]
_SAME_FOR_ALL = [*_NO_BAR, "--trainer.num_sanity_val_steps", "0"]

SECONDS = 900  # time limit for all runs of a package; two idle cores need a tenth of it


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write labeled data sets of bodies and hands, each in a light and a dark style."""
    root = tmp_path_factory.mktemp("dots")
    for skeleton in (BODY16, HAND21):
        write_dots(root / skeleton.name / "light", 12, size=40, seed=12, skeleton=skeleton)
        write_dots(root / skeleton.name / "dark", 8, size=40, seed=8, dark=True, skeleton=skeleton)
    return root


def run_commands(runs: list[tuple[str, str, list[str]]], together: bool) -> None:
    """Run commands; kill all processes and fail when the time limit is reached.

    Args:
        runs: package, name and arguments of each command.
        together: whether each command runs in two processes, rather than one.
    """
    script = Path(__file__).parents[1] / "helpers" / "run_commands.py"
    done = run_script(script, runs, processes=2 if together else None, seconds=SECONDS)
    last = [line for line in done.stderr.splitlines() if line.startswith("begun: ")][-1:]
    assert done.returncode == 0, f"{last}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"


def write_configs(package: str, dots: Path, folder: Path) -> dict[str, Path]:
    """Write a tiny config per family; the run folder has the name of the config."""
    configs = {}
    for name, path in find_families(package).items():
        config = folder / f"{name.replace('/', '-')}.yaml"
        config.write_text(yaml.safe_dump(shrink_config(path, dots, folder / config.stem), sort_keys=False))
        configs[name] = config
    return configs


def read_scores(path: Path) -> dict[str, float]:
    """Return all numbers of a score file by their path in it, except the position of the run."""
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
def test_config_families_score_the_same_in_two_processes(package: str, dots: Path, tmp_path: Path):
    configs = write_configs(package, dots, tmp_path)
    two = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    fits = [(package, name, ["fit", "--config", str(config), *two, *_SAME_FOR_ALL]) for name, config in configs.items()]
    name, config = next(iter(configs.items()))
    fits[0] = (package, name, ["fit", "--config", str(config), *two])
    checkpoint = ["--ckpt_path", str(config.with_suffix("") / "checkpoints" / "last.ckpt")]
    others = [
        (package, f"{verb} {name}", [verb, "--config", str(config), *two, *checkpoint]) for verb in ("test", "predict")
    ]
    run_commands([*fits, *others], together=True)

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
                ["validate", "--config", str(config), "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), *_NO_BAR],
            )
        )
    run_commands(alone, together=False)
    for name, config in configs.items():
        run = config.with_suffix("")
        one, together = read_scores(run / "scores-validate.json"), read_scores(run / "scores.json")
        assert together["/step"] == 6
        # The published codes average over batches, so their scores are defined for one process only.
        common = {key for key in one.keys() & together.keys() if "/paper-" not in key}
        assert len(common) > 5
        if "inner: shared" in config.read_text():  # how far people move depends on the batch they share weights with
            common = {key for key in common if "/moved/" not in key}
        for key in common:
            rounding = 1e-3 if "/moved/" in key else 1e-6  # mm, the distance of two almost equal meshes
            assert together[key] == pytest.approx(one[key], rel=1e-4, abs=rounding), f"{name}: {key}"
    predictions = list(config.parent.glob("*/predictions.*"))
    assert len(predictions) == 1

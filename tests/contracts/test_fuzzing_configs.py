"""Damaged configs of both packages give one-line errors before a run starts."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from hamipose.cli import main as hamipose
from hamipose.config.config_file import load_config
from meshtto.cli import main as meshtto
from tests.helpers.fuzzing import Failures, change_encoding, change_tree, damage_bytes, seeded_generators

CONFIGS = Path(__file__).parents[2] / "configs"
PACKAGES = {
    "hamipose": (hamipose, CONFIGS / "hamipose/demo.yaml"),
    "meshtto": (meshtto, CONFIGS / "meshtto/builtin_small.yaml"),
}


def damage_yaml(rng: random.Random, tree: Any) -> bytes:
    """Return a config with wrong content or damaged bytes."""
    kind = rng.random()
    if kind < 0.25:
        changed = change_tree(rng, tree)
        if rng.random() < 0.1 and isinstance(changed, dict):
            changed["inherit"] = rng.choice(("nowhere.yaml", ["wrong.yaml"], "wrong.yaml", 3, {"a": 1}, ["."], "\x00"))
        return yaml.safe_dump(changed).encode()
    text = yaml.safe_dump(tree, sort_keys=False).encode()
    return damage_bytes(rng, text) if kind < 0.8 else change_encoding(rng, text)


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_damaged_configs_give_one_line_errors(
    package: str, capfd: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    main, valid = PACKAGES[package]
    tree = load_config(valid)
    monkeypatch.chdir(tmp_path)
    failures = Failures(capfd)
    for number, rng in seeded_generators(f"configs of {package}", 150):
        Path("wrong.yaml").write_bytes(damage_yaml(rng, tree))
        status = failures.run(main, ["fit", "--config", "wrong.yaml", "--print_config"], number)
        if status == 0:
            printed = yaml.safe_load(failures.printed)
            assert {"model", "data", "trainer"} <= printed.keys()
        if sorted(path.name for path in tmp_path.iterdir()) != ["wrong.yaml"]:
            failures.add("a file was written", number)
    failures.check(minimum=10)

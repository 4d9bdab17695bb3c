"""Without any extra, 2D pose works, and commands that need an extra say which one."""

from pathlib import Path

import pytest

from tests.helpers.processes import launch_script, to_json_options

SCRIPT = Path(__file__).parents[1] / "helpers/run_without_extras.py"


@pytest.mark.slow
def test_core_dependencies_suffice_for_pose(dots: Path, tmp_path: Path):
    options = {"dots": dots, "out": tmp_path / "run", "epochs": 1, "steps": 3, "every": 1}
    result = launch_script(SCRIPT, to_json_options(options))
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count("pip install 'hamipose[") == 3

import contextlib
from pathlib import Path

import pytest
import yaml

from hamipose.cli import main
from hamipose.cli.configs import load_config
from hamipose.config.environment import configs_folder


def test_list_names_every_config(capsys: pytest.CaptureFixture):
    assert main(["configs", "list"]) == 0
    printed = capsys.readouterr().out
    for path in configs_folder().rglob("*.yaml"):
        assert f"  {path.relative_to(configs_folder()).with_suffix('')}" in printed


def test_show_includes_inherited_values(capsys: pytest.CaptureFixture):
    assert main(["configs", "show", "demo"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["model"]["init_args"]["network"]["backbone"] == "resnet10t"  # its own
    assert shown["model"]["init_args"]["optimizer"]["init_args"]["friction"] == 0.1  # from base.yaml
    assert "inherit" not in shown


def test_other_class_replaces_arguments(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("model: {class_path: A, init_args: {x: 1, y: {z: 2}}}\n")
    (tmp_path / "b.yaml").write_text("inherit: a.yaml\nmodel: {init_args: {y: {w: 3}}}\n")
    (tmp_path / "c.yaml").write_text("inherit: b.yaml\nmodel: {class_path: C, init_args: {x: 5}}\n")
    assert load_config(tmp_path / "b.yaml")["model"] == {
        "class_path": "A",
        "init_args": {"x": 1, "y": {"z": 2, "w": 3}},
    }
    assert load_config(tmp_path / "c.yaml")["model"] == {"class_path": "C", "init_args": {"x": 5}}


@pytest.mark.parametrize("name", ["small/ccssl", "demo_mean_teacher", "demo_source_only", "methods/regda"])
def test_shown_method_equals_that_of_fit(name: str, capsys: pytest.CaptureFixture):
    """Also if a config changes the inherited class: arguments that the class accepts are kept."""
    shown = load_config(configs_folder() / f"{name}.yaml")["model"]
    with contextlib.suppress(SystemExit):  # jsonargparse exits after printing
        main(["fit", "--print_config", "--config", str(configs_folder() / f"{name}.yaml")])
    used = yaml.safe_load(capsys.readouterr().out)["model"]

    def contains(part: object, whole: object) -> bool:
        """Return whether `whole` has every value of `part`."""
        if isinstance(part, dict) and isinstance(whole, dict):
            return all(contains(value, whole.get(key)) for key, value in part.items())
        return part == whole

    assert contains(shown, used), (shown, used)
    assert shown["init_args"]["network"]["weights"] == used["init_args"]["network"]["weights"]


def test_unknown_config_raises_an_error(capsys: pytest.CaptureFixture):
    assert main(["configs", "show", "nonsense"]) == 2
    assert "configs list" in capsys.readouterr().err

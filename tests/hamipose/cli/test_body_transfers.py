"""Body transfers of Tables 1 and 2: sets, splits and protocols of their configs."""

from typing import Any

import pytest
import yaml

from hamipose.config.config_file import expand_config_arguments
from hamipose.config.environment import configs_folder
from hamipose.data import Prepared
from hamipose.training import HamiPoseCLI


def sets(name: str) -> dict[str, Any]:
    """Return class, folder and protocol by role, after inheritance."""

    class Built(HamiPoseCLI):
        def _run_subcommand(self, subcommand: str) -> None:
            """Do nothing."""

        def _check_data(self) -> None:
            """Do nothing; there are no data."""

    small = {"backbone": "test_resnet", "weights": "none", "deconv_channels": "[8,8,8]"}
    options = [word for k, v in small.items() for word in (f"--model.init_args.network.{k}", v)]
    arguments = ["fit", "--config", str(configs_folder() / name), *options, "--trainer.accelerator", "cpu"]
    data = Built(expand_config_arguments(arguments)).datamodule
    (target,) = data.target
    roles = {"source": data.source, "target": target.dataset, "validation": data.validation, **data.test}

    def describe(dataset: Any) -> tuple[str, str, str]:
        folder = dataset.folder.relative_to(dataset.root) if isinstance(dataset, Prepared) else None
        protocol = dataset.protocol if folder is None else folder.parts[0]
        return type(dataset).__name__, str(dataset.root), protocol

    return {role: describe(dataset) for role, dataset in roles.items()}


@pytest.mark.parametrize(
    ("transfer", "target", "test"),
    [
        ("surreal_to_lsp", "lsp", {"lsp"}),
        ("paper/surreal_to_h36m", "h36m", {"h36m"}),
        ("surreal_to_lsp_to_h36m", "lsp", {"h36m", "lsp"}),
    ],
)
def test_transfer_uses_its_sets_and_its_protocol(transfer: str, target: str, test: set[str]):
    protocol = "paper" if transfer.startswith("paper/") else "strict"
    found = sets(f"{transfer}.yaml")
    assert set(found) == {"source", "target", "validation"} | test
    assert {each[2] for each in found.values()} == {protocol}
    assert found["source"][:2] == found["validation"][:2] == ("Prepared", "data/surreal")
    assert found["target"][1] == f"data/{target}"
    for each in test:
        assert found[each][1] == f"data/{each}"


def test_paper_configs_state_changed_sets_completely():
    """Tables override whole sets of the methods' configs, so a partial set would lose its class."""
    for path in sorted((configs_folder() / "paper").glob("*.yaml")):
        for value in (yaml.safe_load(path.read_text()).get("data") or {}).values():
            for one in value if isinstance(value, list) else [value]:
                assert "class_path" in str(one), path

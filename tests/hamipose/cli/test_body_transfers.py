"""The body transfers of the paper's Tables 1 and 2: which sets, splits and protocols their configs name."""

from typing import Any

import pytest
import yaml

from hamipose.config.config_file import expand_config_arguments
from hamipose.config.environment import configs_folder
from hamipose.data import Prepared
from hamipose.training import HamiPoseCLI


def sets(name: str) -> dict[str, Any]:
    """Role → class, folder and protocol, as the command line sees them after inheritance."""

    class Built(HamiPoseCLI):
        def _run_subcommand(self, subcommand: str) -> None:
            """Not in this test."""

        def _check_data(self) -> None:
            """No data is at hand."""

    small = {"backbone": "test_resnet", "weights": "none", "deconv_channels": "[8,8,8]"}
    options = [word for k, v in small.items() for word in (f"--model.init_args.network.{k}", v)]
    arguments = ["fit", "--config", str(configs_folder() / name), *options, "--trainer.accelerator", "cpu"]
    data = Built(expand_config_arguments(arguments)).datamodule
    (target,) = data.target
    roles = {"source": data.source, "target": target.dataset, "validation": data.validation, **data.test}

    def told(dataset: Any) -> tuple[str, str, str]:
        folder = dataset.folder.relative_to(dataset.root) if isinstance(dataset, Prepared) else None
        protocol = dataset.protocol if folder is None else folder.parts[0]
        return type(dataset).__name__, str(dataset.root), protocol

    return {role: told(dataset) for role, dataset in roles.items()}


@pytest.mark.parametrize(
    ("transfer", "target", "test"),
    [
        ("surreal_to_lsp", "lsp", {"lsp"}),
        ("paper/surreal_to_h36m", "h36m", {"h36m"}),
        ("surreal_to_lsp_to_h36m", "lsp", {"h36m", "lsp"}),
    ],
)
def test_a_transfer_keeps_to_its_sets_and_its_protocol(transfer: str, target: str, test: set[str]):
    protocol = "paper" if transfer.startswith("paper/") else "strict"
    found = sets(f"{transfer}.yaml")
    assert set(found) == {"source", "target", "validation"} | test
    assert {each[2] for each in found.values()} == {protocol}
    assert found["source"][:2] == found["validation"][:2] == ("Prepared", "data/surreal")
    assert found["target"][1] == f"data/{target}"
    for each in test:
        assert found[each][1] == f"data/{each}"


def test_paper_files_state_every_set_that_they_change_in_full():
    """Tables are laid over methods set by set, so a set stated in part would lose its class."""
    for path in sorted((configs_folder() / "paper").glob("*.yaml")):
        for value in (yaml.safe_load(path.read_text()).get("data") or {}).values():
            for one in value if isinstance(value, list) else [value]:
                assert "class_path" in str(one), path

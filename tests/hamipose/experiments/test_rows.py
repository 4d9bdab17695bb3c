"""The rows of every table: their runs, configs and options."""

import json
from pathlib import Path

import pytest
import yaml

from hamipose.config.config_file import expand_config_arguments
from hamipose.config.environment import configs_folder
from hamipose.data import SyntheticPeople, Unlabeled
from hamipose.engine.experiments import Budget, ExperimentOptions, Recipe, pending_runs, pending_table
from hamipose.errors import UserError
from hamipose.experiments.rows import table_spec
from hamipose.experiments.runs import BUDGET, compose, write_data
from hamipose.experiments.transfers import Transfer, build_data_sets, transfer_data
from hamipose.training import HamiPoseCLI

NAMES = ("1", "2", "3", "4", "5", "figure4", "figure5")
RECIPES = {
    (scale, recipe.name): recipe
    for name in NAMES
    for row in table_spec(name).rows
    for scale, recipe in (("small", row.small), ("paper", row.paper))
    if recipe is not None
}
#: Both scales have the same options; Table 5 has forty recipes that differ in figures alone: one of them is built.
BUILT = {
    name: recipe
    for (scale, name), recipe in RECIPES.items()
    if scale == "small" and recipe.options and (not name.startswith("gamma_") or name == "gamma_0.5_3_0.2")
}


class Built(HamiPoseCLI):
    def _run_subcommand(self, subcommand: str) -> None:
        """Do nothing."""

    def _check_data(self) -> None:
        """Do nothing, because no data set is available."""


def options_for(tmp_path: Path, **changes) -> ExperimentOptions:
    return ExperimentOptions(**{"scale": "small", "seeds": [0], "budget": BUDGET, "runs": tmp_path} | changes)


def small_people(tmp_path: Path) -> Path:
    """Write the data config of the first table, without rendering."""
    transfer = table_spec("1").small[0]
    write_data(transfer, options_for(tmp_path))
    return tmp_path / "small" / transfer.name / "data.yaml"


@pytest.mark.parametrize("name", NAMES)
def test_tables_have_transfers_and_unique_rows(name):
    found = table_spec(name)
    assert found.small
    assert found.rows
    assert len({row.label for row in found.rows}) == len(found.rows)
    for row in found.rows:
        assert row.small is not None or row.note, f"{row.label} has neither a recipe nor a reason"


@pytest.mark.parametrize("key", RECIPES, ids="/".join)
def test_configs_exist(key):
    """Check that files exist; tests/hamipose/cli/test_configs.py parses and builds those without options."""
    assert (configs_folder() / RECIPES[key].config).is_file()


def test_recipe_names_are_unique():
    for name in {name for _, name in RECIPES}:
        for scale in ("small", "paper"):
            found = {(r.small if scale == "small" else r.paper) for n in NAMES for r in table_spec(n).rows}
            options = {json.dumps([r.config, dict(r.options)]) for r in found if r is not None and r.name == name}
            assert len(options) <= 1, name


@pytest.mark.parametrize("name", BUILT)
def test_recipe_options_are_accepted(name, tmp_path):
    recipe: Recipe = BUILT[name]
    small = {"backbone": "test_resnet", "weights": "none", "deconv_channels": "[8,8,8]"}
    options = {f"model.init_args.network.{k}": v for k, v in small.items()} | {
        k: v.replace("{quarter}", "15") for k, v in recipe.options.items()
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    config = ["--config", str(configs_folder() / recipe.config), "--config", str(small_people(tmp_path))]
    cli = Built(expand_config_arguments(["fit", *config, *words, "--trainer.accelerator", "cpu"]))
    optimizer = cli.model.make_optimizer(cli.model.network.parameters())
    for name, value in recipe.options.items():
        if name.endswith("optimizer"):
            wanted = json.loads(value)
            assert f"{type(optimizer).__module__}.{type(optimizer).__name__}".endswith(
                wanted["class_path"].split(".")[-1]
            )
            for option, setting in wanted["init_args"].items():
                assert optimizer.param_groups[0][option] == setting
        elif name.endswith("gate"):
            wanted = json.loads(value)
            gate = cli.model.adaptation.gate
            assert type(gate).__name__ == wanted["class_path"].split(".")[-1]
            for option, setting in wanted["init_args"].items():
                assert getattr(gate, option) == setting


def test_transfer_data_replace_all_data_of_a_config(tmp_path):
    """Use a data set without `backdrops`, which the demo's config states."""
    people = {"class_path": "hamipose.data.SyntheticPeople", "init_args": {"root": "data/mine", "style": "photo"}}
    config = tmp_path / "other.yaml"
    target = [{"class_path": "hamipose.data.Unlabeled", "init_args": {"dataset": people}}]
    sets = {"source": people, "target": target, "validation": people, "test": {"only": people}}
    config.write_text(yaml.safe_dump({"data": {**sets, "image_size": 32}}))
    transfer = Transfer("mine", "mine", str(config), "only")
    write_data(transfer, options_for(tmp_path, data=Path("elsewhere")))
    over = [
        "--config",
        str(configs_folder() / "demo_source_only.yaml"),
        "--config",
        str(tmp_path / "small/mine/data.yaml"),
    ]
    data = Built(expand_config_arguments(["fit", *over])).datamodule
    assert data.image_size == 64, "only the sets are the transfer's"
    assert list(data.test) == ["only"]
    default = SyntheticPeople("anywhere").box_margin
    for dataset in (data.source, data.validation, data.test["only"], data.target[0].dataset):
        assert dataset.backdrops is None
        assert (dataset.style, dataset.box_margin, str(dataset.root)) == ("photo", default, "elsewhere/mine")


def test_missing_folders_leave_cells_empty(tmp_path):
    lsp = table_spec("1").small[1]
    assert "data/lsp" in lsp.missing(tmp_path)
    for folder in lsp.missing(tmp_path):
        (tmp_path / folder.removeprefix("data/")).mkdir(parents=True)
    assert lsp.missing(tmp_path) == []
    sets = transfer_data(lsp, tmp_path)
    assert sets["test"]["lsp"]["init_args"]["root"] == str(tmp_path / "lsp")
    assert lsp.relocated_options(tmp_path)["model.init_args.network.weights"].startswith(str(tmp_path))
    cells = compose(table_spec("1"), options_for(tmp_path))
    assert all("data/lsp" in cell.missing for cell in cells if cell.transfer == lsp and cell.row.small)


def test_build_data_sets_returns_every_role():
    assert {t.columns[0] for n in ("3",) for t in table_spec(n).small + table_spec(n).paper} == {"mcp"}
    roles = {role: type(built) for role, _, built in build_data_sets(transfer_data(table_spec("2").small[0], None))}
    assert set(roles) == {"source", "target", "validation", "test.photo", "test.unseen"}
    assert roles["target"] is Unlabeled


def small(tmp_path: Path, transfers: list[str] | None = None, **changes) -> list:
    options = options_for(tmp_path, **{"seeds": [0, 1], "budget": Budget(100, 60)} | changes)
    return compose(table_spec("4"), options, transfers or [])


def test_rows_share_the_start_of_their_seed_and_the_budget(tmp_path):
    cells = [cell for cell in small(tmp_path, transfers=["people"]) if cell.runs]
    assert len(cells) == len(table_spec("4").rows)
    for cell in cells:
        for seed, run in cell.runs.items():
            start = run.after
            assert start is not None
            assert (start.folder, start.epochs * start.steps) == (tmp_path / f"small/people/seed{seed}/start", 100)
            assert (run.epochs, run.steps) == (4, 15)
            words = run.arguments
            assert words[words.index("--model.init_args.training.init_from") + 1] == str(start.last)
            assert words[words.index("--seed_everything") + 1] == str(seed)


def test_step_counts_scale_with_the_budget(tmp_path):
    cells = compose(table_spec("1"), options_for(tmp_path, budget=Budget(100, 60), only=["RegDA"]))
    words = cells[0].runs[0].arguments
    assert words[words.index("--model.init_args.pretrain_steps") + 1] == "15"
    assert not any("{" in word for word in words)


def test_rows_with_the_same_recipe_share_runs(tmp_path):
    of = {name: compose(table_spec(name), options_for(tmp_path)) for name in NAMES}
    ours = {
        run.folder for cells in of.values() for c in cells for run in c.runs.values() if run.folder.name == "hamipose"
    }
    assert len(ours) == len({cell.transfer.name for cells in of.values() for cell in cells if cell.runs})


def test_configs_state_the_budget_at_paper_scale(tmp_path):
    root = tmp_path / "data"
    for folder in table_spec("1").paper[0].missing(root):
        (root / folder.removeprefix("data/")).mkdir(parents=True)
    cells = compose(table_spec("1"), options_for(tmp_path, scale="paper", data=root, only=["hamipose"]))
    run = cells[0].runs[0]
    assert (run.epochs, run.steps, run.after) == (70, 500, None)
    assert run.arguments[run.arguments.index("--trainer.max_epochs") + 1] == "70"


def test_compose_rejects_unknown_rows(tmp_path):
    with pytest.raises(UserError, match="no row is called hamipos; expected some of Mean teacher"):
        small(tmp_path, only=["hamipose", "hamipos"])
    with pytest.raises(UserError, match="no transfer is called persons; expected some of people, people_to_lsp"):
        small(tmp_path, transfers=["persons"])
    assert {cell.transfer.name for cell in small(tmp_path, transfers=["hands"])} == {"hands"}


def test_pending_table_shows_states_and_estimates_times(tmp_path):
    cells = small(tmp_path, only=["hamipose", "mean_teacher"], transfers=["people"])
    wanted = [run for cell in cells for run in cell.runs.values()]
    table, total = pending_table(wanted, jobs=1)
    assert table.header == ["transfer", "run", "steps", "seed0", "seed1"]
    assert [row[1] for row in table.rows] == ["start", "mean_teacher", "hamipose"]
    assert total == "6 of 6 runs are missing: time unknown, with 1 at a time"
    seen = next(cell.runs[0] for cell in cells if cell.runs and cell.runs[0].folder.name == "hamipose")
    seen.folder.mkdir(parents=True)
    (seen.folder / "wall.json").write_text(json.dumps([{"steps": 15, "seconds": 150.0}]))  # a quarter of it
    table, total = pending_table(wanted, jobs=2)
    assert table.rows[-1] == ["people", "hamipose", "60", "missing, 8 min", "missing, 10 min"]
    assert total == "6 of 6 runs are missing: about 9 min and 4 runs whose time is unknown, with 2 at a time"
    (seen.folder / "scores.json").write_text(json.dumps({"epoch": 4}))
    assert seen not in pending_runs(wanted)
    table, total = pending_table(wanted, jobs=2)
    assert table.rows[-1][3] == "done"
    assert total.startswith("5 of 6 runs are missing")

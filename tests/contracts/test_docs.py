"""README and docs are correct: verbs, options, configs and links exist, code runs, tables are complete."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from lightning.pytorch.loggers import CSVLogger, WandbLogger

from hamipose.cli import HELP as HAMIPOSE_HELP
from hamipose.cli import main as hamipose
from hamipose.config.config_file import expand_config_arguments
from hamipose.data.catalog.entries import CATALOG
from hamipose.training import HamiPoseCLI
from meshtto.cli import HELP as MESHTTO_HELP
from meshtto.cli import main as meshtto
from meshtto.data.catalog import CATALOG as MESH_RELEASES
from tests.helpers import run_commands
from tests.helpers.processes import run_script

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FRONT = {"hamipose": (hamipose, HAMIPOSE_HELP), "meshtto": (meshtto, MESHTTO_HELP)}
LIGHTNING = ("fit", "validate", "test")


def find_commands() -> list[tuple[str, str, list[str]]]:
    """Return page, package and arguments of every command that calls one of the packages."""
    found = []
    for page in PAGES:
        text = re.sub(r"\\\n\s*", "", page.read_text())
        for package, words in re.findall(r"python -m (hamipose|meshtto)((?: [^`\n|]*)?)", text):
            words = shlex.split(words.partition(" # ")[0], comments=False)
            if words and re.fullmatch(r"[a-z]+", words[0]):
                found.append((page.name, package, words))
    return found


COMMANDS = find_commands()


def test_commands_are_found():
    assert len(COMMANDS) > 20


@pytest.mark.parametrize(("page", "package", "words"), COMMANDS, ids=[" ".join((c[0], *c[2]))[:70] for c in COMMANDS])
def test_command_is_valid(page: str, package: str, words: list[str], capsys: pytest.CaptureFixture):
    run, overview = FRONT[package]
    verb, rest = words[0], words[1:]
    assert re.search(rf"(?:^|[ |]){verb}\b", overview, re.MULTILINE), f"{package} --help does not name {verb}"
    for option, value in zip(rest, [*rest[1:], ""], strict=False):
        if option == "--config" and "/" in value:
            assert (ROOT / value).is_file(), f"{page}: {value} does not exist"
    if verb in LIGHTNING or "--config" in rest:
        return
    path = [
        verb,
        *(rest[:1] if rest and re.fullmatch(r"[a-z]+", rest[0]) and verb in ("data", "style", "body") else []),
    ]
    with pytest.raises(SystemExit) as stop:
        run([*path, "--help"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    for option in rest:
        if option.startswith("--") and option != "--debug":
            assert re.search(rf"(?<![\w-]){option.partition('=')[0]}(?![\w-])", output), (
                f"{page}: {verb} has no {option}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_are_valid(page: Path):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"


# Blocks that do not run by themselves, by page and first line, with the reason.
EXCERPTS = {
    ("README.md", "import hamipose"): "reads the user's photos",
    ("methods.md", "class SAM(PoseMethod):"): "an excerpt of hamipose/methods/sam.py",
    ("body.md", "from meshtto.body import load_body"): "its arguments are the reader's",
}


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


WITH_CODE = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_python_code_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All blocks of a page run as one program in an empty folder."""
    if any("# my_pose.py" in block for block in blocks(page, "python")):
        pytest.skip("run by test_extending_example_trains")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for number, block in enumerate(blocks(page, "python")):
        if (page.name, block.splitlines()[0]) not in EXCERPTS:
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)


def test_excerpts_exist():
    for name, first in EXCERPTS:
        page = next(page for page in PAGES if page.name == name)
        assert any(block.splitlines()[0] == first for block in blocks(page, "python")), f"{name} has no block {first}"


def test_extending_example_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file and the config of the page train with the command of the page, reduced to four steps."""
    page = ROOT / "docs" / "extending.md"
    own = [block for block in blocks(page, "python") if block.startswith("# my_pose.py")]
    assert len(own) == 4
    (tmp_path / "my_pose.py").write_text("\n".join(own))
    (config,) = blocks(page, "yaml")
    (tmp_path / "my_pose.yaml").write_text(config)
    short = ["--trainer.max_epochs", "1", "--data.steps_per_epoch", "4", "--trainer.accelerator", "cpu"]
    monkeypatch.chdir(tmp_path)
    done = run_script(
        Path(run_commands.__file__), [("hamipose", page.stem, ["fit", "--config", "my_pose.yaml", *short])]
    )
    assert done.returncode == 0, done.stderr[-2000:]
    scores = json.loads((tmp_path / "runs/squares/version_0/scores.json").read_text())
    assert scores["step"] == 4
    assert "val/student/pck@0.05/top" in scores["scores"]


def test_dashboard_config_builds_a_wandb_logger(tmp_path: Path):
    """The YAML of the page works after a shipped config and sets the options of W&B."""

    class Built(HamiPoseCLI):
        def _run_subcommand(self, subcommand: str) -> None:
            """Not in this test."""

        def _check_data(self) -> None:
            """No data is available."""

    (config,) = blocks(ROOT / "docs" / "dashboards.md", "yaml")
    (tmp_path / "wandb.yaml").write_text(config)
    both = ["--config", str(ROOT / "configs/hamipose/demo.yaml"), "--config", str(tmp_path / "wandb.yaml")]
    small = ["--model.init_args.network.backbone", "test_resnet"]
    csv, board = Built(expand_config_arguments(["fit", *both, *small])).trainer.loggers
    assert isinstance(csv, CSVLogger)
    assert isinstance(board, WandbLogger)
    settings = board._wandb_init
    assert (settings["group"], settings["job_type"], settings["tags"][0]) == ("plain-to-photo", "HamiPose", "seed0")
    assert board._offline


def test_dashboards_page_explains_all_logged_names():
    text = (ROOT / "docs" / "dashboards.md").read_text()
    explained = {re.sub(r"/NAME$", "", name) for name in re.findall(r"`(train/[\w/]+)`", text)}
    folders = (ROOT / "hamipose" / name for name in ("engine", "evaluation", "methods"))
    source = "".join(path.read_text() for folder in folders for path in sorted(folder.glob("*.py")))
    logged = set(re.findall(r'(?:logged|scalars)\[f?"(train/\w+)|"(train/\w+)":', source))
    logged = {a or b for a, b in logged}
    assert len(logged) > 12
    assert logged - explained == set()


def test_data_sets_are_listed():
    text = (ROOT / "docs" / "data.md").read_text()
    for name, site in [(n, r.site) for n, r in (*CATALOG.items(), *MESH_RELEASES.items())]:
        address = re.search(r"[\w.]+\.\w+/[^\s,;()]*", site.partition("://")[2])
        assert f"| `{name}` |" in text, f"docs/data.md does not name {name}"
        assert address is None or address[0].rstrip("/") in text, f"docs/data.md does not say where {name} is: {site}"


def test_navigation_lists_all_pages():
    """The navigation of the site contains exactly the pages of docs/."""

    def pages(node: object) -> list[str]:
        if isinstance(node, str):
            return [node]
        return [page for child in (node if isinstance(node, list) else node.values()) for page in pages(child)]  # type: ignore[attr-defined]

    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    docs = ROOT / "docs"
    assert sorted(pages(site["nav"])) == sorted(page.relative_to(docs).as_posix() for page in docs.rglob("*.md"))
    assert all((ROOT / hook).is_file() for hook in site["hooks"])

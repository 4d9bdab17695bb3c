"""What README and docs tell people to type exists: verbs, options, configs, files that are linked to."""

import re
import shlex
from pathlib import Path

import pytest

from hamipose.cli import HELP as HAMIPOSE_HELP
from hamipose.cli import main as hamipose
from meshtto.cli import HELP as MESHTTO_HELP
from meshtto.cli import main as meshtto

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FRONT = {"hamipose": (hamipose, HAMIPOSE_HELP), "meshtto": (meshtto, MESHTTO_HELP)}
LIGHTNING = ("fit", "validate", "test")


def commands() -> list[tuple[str, str, list[str]]]:
    """Page, package and words of every command that calls one of the packages."""
    found = []
    for page in PAGES:
        text = re.sub(r"\\\n\s*", "", page.read_text())
        for package, words in re.findall(r"python -m (hamipose|meshtto)((?: [^`\n|]*)?)", text):
            words = shlex.split(words.partition(" # ")[0], comments=False)
            if words and re.fullmatch(r"[a-z]+", words[0]):
                found.append((page.name, package, words))
    return found


COMMANDS = commands()


def test_there_are_commands():
    assert len(COMMANDS) > 20


@pytest.mark.parametrize(("page", "package", "words"), COMMANDS, ids=[" ".join((c[0], *c[2]))[:70] for c in COMMANDS])
def test_what_is_to_be_typed_exists(page: str, package: str, words: list[str], capsys: pytest.CaptureFixture):
    run, overview = FRONT[package]
    verb, rest = words[0], words[1:]
    assert re.search(rf"(?:^|[ |]){verb}\b", overview, re.MULTILINE), f"{package} --help does not name {verb}"
    for option, value in zip(rest, [*rest[1:], ""], strict=True):
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
    told = capsys.readouterr().out
    for option in rest:
        if option.startswith("--") and option != "--debug":
            assert re.search(rf"(?<![\w-]){option.partition('=')[0]}(?![\w-])", told), f"{page}: {verb} has no {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"

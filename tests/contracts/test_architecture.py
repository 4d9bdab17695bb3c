"""docs/architecture.md answers where things are, with files that exist and contain the answer."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()

#: A word of each question, and what one of its files must contain.
CONTENT = {
    "loss weighted": r"source_weights?|weights? \*|\.weights\b",
    "a gate": r"class \w*Gate\b",
    "a data set": r"class \w+\(KeypointDataset\)|CATALOG",
    "a metric": r"class \w+\(\w*Metric\w*\)|Metric\b",
    "a body": r"BODIES",
    "a verb": r"_?VERBS",
    "σ": r"sigma: float",
    "batchnorm": r"batchnorm",
    "image size": r"image_size=\d+",
    "exact resume": r"random_state",
    "inner step": r"def step\b|low.rank",
    "W&B panels": r"LinePlot|Section\(",
}


def questions() -> list[tuple[str, list[str]]]:
    table = PAGE.partition("## Where to look")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")][2:]
    return [(question, re.findall(r"`([\w./]+\.py)`", answer)) for question, answer in rows]


@pytest.mark.parametrize(("question", "files"), questions())
def test_question_is_answered_by_three_files_at_most(question: str, files: list[str]):
    assert 1 <= len(files) <= 3
    (pattern,) = [pattern for word, pattern in CONTENT.items() if word in question]
    assert re.search(pattern, "".join((ROOT / name).read_text() for name in files)), (
        f"{files} do not answer: {question}"
    )


def test_every_question_is_asked():
    assert len(questions()) == len(CONTENT)


@pytest.mark.parametrize("package", ["hamipose", "meshtto"])
def test_every_folder_is_described(package: str):
    table = PAGE.partition(f"| `{package}/` |")[2].partition("\n\n")[0]
    named = {name.rstrip("/") for line in table.splitlines() for name in re.findall(r"`([\w/]+)`", line.split("|")[1])}
    found = {
        path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert found - {"__init__", "__main__", "__pycache__"} <= named

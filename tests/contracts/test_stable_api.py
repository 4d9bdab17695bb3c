"""The names of docs/reference/stable.md exist, are public, are documented and appear in the generated reference."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
STABLE = re.findall(r"^\| \[`([\w.]+)`\]\[([\w.]+)\]", (REFERENCE / "stable.md").read_text(), re.MULTILINE)


def test_stable_api_is_small():
    assert 35 <= len(STABLE) <= 45
    assert len({name for name, _ in STABLE}) == len(STABLE)


@pytest.mark.parametrize(("name", "definition"), STABLE, ids=[name for name, _ in STABLE])
def test_stable_name_is_public_and_documented(name: str, definition: str):
    module, _, attribute = name.rpartition(".")
    value = getattr(importlib.import_module(module), attribute)
    defined_in = getattr(value, "__module__", None)
    assert definition == (f"{defined_in}.{value.__qualname__}" if defined_in else name), "the link is wrong"
    assert not any(part.startswith("_") for part in name.split("."))
    assert attribute in importlib.import_module(defined_in or module).__all__
    assert (value.__doc__ or "").strip()


def test_reference_pages_contain_existing_names():
    pages = sorted(REFERENCE.glob("*.md"))
    names = [name for page in pages for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)]
    assert len(names) > 30
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            module, _, attribute = name.rpartition(".")
            assert hasattr(importlib.import_module(module), attribute), f"docs/reference contains {name}"


def test_stable_names_are_in_the_reference():
    text = "\n".join(page.read_text() for page in REFERENCE.glob("*.md"))
    entries = re.findall(r"^::: ([\w.]+)(?:\n    options: (.*))?$", text, re.MULTILINE)
    for name, definition in STABLE:
        module, _, attribute = definition.rpartition(".")
        covered = any(
            entry == definition or (entry == module and (not options or re.search(rf"\b{attribute}\b", options)))
            for entry, options in entries
        )
        assert covered, f"{name} is missing from docs/reference"

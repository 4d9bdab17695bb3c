from datetime import date
from pathlib import Path

import pytest

from hamipose.errors import UserError
from hamipose.io.yaml_file import read_yaml


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: [", "is not valid YAML"),
        (b"a: 2020-13-45", "is not valid YAML"),  # an invalid date raises ValueError in PyYAML
        (b"a: \xff\xfe", "is not valid YAML"),
        (b"[" * 5000, "is not valid YAML"),
        (b"[" * 200_000, "is not valid YAML"),  # crashes PyYAML's loader in C
        (b"- " * 200_000, "nested more than 500 levels deep"),
        (b"{a: " * 501, "nested more than 500 levels deep"),
        (b"? [a]\n: b", "is not valid YAML"),
        (b"just words", "contains no options; expected lines"),
        (b"", "contains no options"),
        (b"version https://git-lfs.github.com/spec/v1\n", "contains no options.*the file is a Git LFS pointer"),
    ],
)
def test_files_that_are_not_mappings_raise_one_line(tmp_path: Path, content: bytes, expected: str):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(UserError, match=expected) as error:
        read_yaml(tmp_path / "a.yaml", "config", "lines")
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_is_ignored(tmp_path: Path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml(tmp_path / "a.yaml", "config", "lines") == {"a": 1}
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml", "config", "lines")


def test_values_are_those_of_yaml(tmp_path: Path):
    deep = "[" * 400 + "]" * 400
    (tmp_path / "a.yaml").write_text(f"a: [1, 1e-3, 1.0e-3, on, ~, 2020-01-02, 'é']\nb: {deep}", encoding="utf-8")
    found = read_yaml(tmp_path / "a.yaml", "config", "lines")
    assert found["a"] == [1, "1e-3", 1e-3, True, None, date(2020, 1, 2), "é"]
    assert str(found["b"]) == deep

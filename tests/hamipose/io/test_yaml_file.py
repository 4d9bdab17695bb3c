from pathlib import Path

import pytest

from hamipose.errors import UserError
from hamipose.io.yaml_file import read_yaml


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [", "is no valid YAML"),
        (b"a: 2020-13-45", "is no valid YAML"),  # looks like a date, which PyYAML refuses as a ValueError
        (b"a: \xff\xfe", "is no valid YAML"),
        (b"[" * 5000, "is no valid YAML"),
        (b"? [a]\n: b", "is no valid YAML"),
        (b"just words", "holds no options; expected lines"),
        (b"", "holds no options"),
        (b"version https://git-lfs.github.com/spec/v1\n", "holds no options.*the file is a Git LFS pointer"),
    ],
)
def test_what_is_no_mapping_is_refused_in_a_line(tmp_path: Path, content: bytes, said: str):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        read_yaml(tmp_path / "a.yaml", "config", "lines")
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml(tmp_path / "a.yaml", "config", "lines") == {"a": 1}
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml", "config", "lines")

"""JSON in all encodings, and one-line errors for other files."""

from pathlib import Path

import pytest

from hamipose.errors import UserError
from hamipose.io.json_file import format_value, read_json, read_list, read_record, to_one_line
from hamipose.io.skipped_records import SkippedRecords


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_all_unicode_encodings_are_read(tmp_path: Path, encoding: str):
    path = tmp_path / "a.json"
    path.write_text('{"é": [1, null]}', encoding)
    assert read_json(path, "anything") == {"é": [1, None]}


@pytest.mark.parametrize(
    "data", [b"", b"\xef\xbb\xbf", b"{", b"\xff\xfe{", b"\x89PNG\r\n", b"[" * 100_000, b"1" * 5000, b'"\xc3"']
)
def test_invalid_json_raises_one_line(tmp_path: Path, data: bytes):
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(
        UserError, match=rf"thing {path} is (empty|not valid JSON|an image, not JSON).*; expected a list"
    ) as error:
        read_json(path, "a list", "thing")
    assert "\n" not in str(error.value)


def test_missing_files_raise(tmp_path: Path):
    for path in (tmp_path, tmp_path / "none.json", "a\0b"):
        with pytest.raises(UserError, match="cannot be read"):
            read_json(path, "a list")


def test_values_are_formatted_on_one_line():
    assert format_value("a\nb\ud800") == "'a\\nb\\ud800'"
    assert format_value(10**5000) == "<int>"
    assert to_one_line("in/ä.jpg") == "in/ä.jpg"
    assert to_one_line("a\nb\ud800") == "a\\nb\\ud800"


def test_skipped_records_are_counted_and_named():
    skipped = SkippedRecords("a.json")
    assert not skipped
    for number in range(5):
        skipped.add("annotation", number, "has no area")
    skipped.add("image", "'x'", "has no file_name")
    for _ in range(2):
        skipped.add_note("a remark")
    assert skipped.count() == 6
    assert skipped.count("image") == 1
    assert str(skipped) == (
        "a.json: skipped 5 annotations (0, 1, 2, …): has no area; 1 image ('x'): has no file_name; a remark"
    )
    for number in range(9):
        skipped.add("annotation", number, f"reason {number}")
    assert "5 more for 5 other reasons" in str(skipped)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("{", "is not valid JSON"),
        ("", "is empty"),
        ("[]", r"contains \[\]"),
        ('{"epoch": 1}', "lacks step"),
    ],
)
def test_errors_for_our_own_files_say_what_to_do(tmp_path: Path, data: str, expected: str):
    path = tmp_path / "scores.json"
    path.write_text(data)
    with pytest.raises(UserError, match=rf"{expected}.*delete it and repeat the command that wrote it"):
        read_record(path, "epoch", "step")


def test_our_own_lists_must_have_complete_records(tmp_path: Path):
    path = tmp_path / "wall.json"
    path.write_text('[{"steps": 3, "seconds": 1.5}]')
    assert read_list(path, "steps", "seconds") == [{"steps": 3, "seconds": 1.5}]
    for damaged in ("{}", '[{"steps": 3}]', "[3]"):
        path.write_text(damaged)
        with pytest.raises(UserError, match="not a list of records with steps, seconds"):
            read_list(path, "steps", "seconds")

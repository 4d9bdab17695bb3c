import csv
from pathlib import Path

from hamipose.viz.tables import MarkdownPage, Table

TABLE = Table(["method", "seeds", "PCK"], [["ours", "2", "83.9"], ["theirs", "", ""]])


def test_table_writes_markdown_and_csv(tmp_path: Path):
    lines = TABLE.to_markdown().splitlines()
    assert lines == ["| method | seeds | PCK |", "|---|---:|---:|", "| ours | 2 | 83.9 |", "| theirs |  |  |"]
    TABLE.write_csv(tmp_path / "new" / "table.csv")
    with (tmp_path / "new" / "table.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [TABLE.header, *TABLE.rows]


def test_rich_table_has_every_column():
    table = TABLE.to_rich("a title")
    assert [column.header for column in table.columns] == TABLE.header
    assert [column.justify for column in table.columns] == ["left", "right", "right"]
    assert table.row_count == 2


def test_page_writes_its_parts_in_order_and_images_beside_it(tmp_path: Path):
    page = MarkdownPage(tmp_path / "results.md", "Results")
    page.add_text("A text.")
    page.add_heading("Numbers")
    page.add_table(TABLE)
    page.add_list(["one", "two"])
    page.add_png(b"png", "a plot", "_curves")
    page.add_code(["first", "second"])
    text = page.write().read_text()
    assert text.startswith("# Results\n\nA text.\n\n## Numbers\n\n| method |")
    assert text.endswith("- one\n- two\n\n![a plot](results_curves.png)\n\n```\nfirst\nsecond\n```\n")
    assert (tmp_path / "results_curves.png").read_bytes() == b"png"

import json
from pathlib import Path

import pytest

from hamipose.errors import UserError
from hamipose.synthetic.resume_log import Journal


def test_a_torn_last_line_is_dropped_and_a_damaged_one_is_named(tmp_path: Path):
    path = tmp_path / "records.part"
    settings = {"seed": 1}
    lines = [json.dumps(settings), '{"id": 1}', '{"id": 2}', '{"id"']
    path.write_text("\n".join(lines))
    assert Journal(path, "people", settings).records() == [{"id": 1}, {"id": 2}]
    path.write_text("\n".join([lines[0], '{"id', lines[2], ""]))
    with pytest.raises(UserError, match=r"is damaged in line 2 .*delete it"):
        Journal(path, "people", settings).records()

import sys

import pytest

from hamipose.errors import UserError
from hamipose.extras import is_installed, missing_extra, require_packages


def test_missing_package_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    require_packages("this test", "torchjd")
    monkeypatch.setitem(sys.modules, "torchjd", None)
    assert not is_installed("torchjd")
    with pytest.raises(UserError, match=r"^a gate needs torchjd, .* pip install 'hamipose\[torchjd\]'$"):
        require_packages("a gate", "torchjd")


@pytest.mark.parametrize(
    ("error", "extra"),
    [
        (ModuleNotFoundError("No module named 'anny.models'", name="anny.models"), "synthetic"),
        (ModuleNotFoundError("Module not found: 'wandb'. HINT: Try running `pip install -U 'wandb'`"), "wandb"),
        (ModuleNotFoundError("No module named 'own_gate'", name="own_gate"), None),
    ],
)
def test_failed_import_is_traced_to_its_extra(error: ModuleNotFoundError, extra: str | None):
    message = missing_extra(error)
    assert (message is None) == (extra is None)
    assert extra is None or str(message).endswith(f"'hamipose[{extra}]'")

import os
import subprocess
import sys

import pytest

from hamipose.synthetic.warp_runtime import compile_kernels, initialize_warp


def test_compilation_is_announced_once(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    import hamipose.synthetic.renderer.raster

    wp = initialize_warp()
    monkeypatch.setattr(wp.config, "kernel_cache_dir", str(tmp_path))
    compile_kernels(hamipose.synthetic.renderer.raster, label="the renderer", device="cpu")
    assert capsys.readouterr().err == "Compiling the renderer; this happens once and takes some seconds.\n"
    (tmp_path / "wp_hamipose.synthetic.renderer.raster_0123456").mkdir()
    compile_kernels(hamipose.synthetic.renderer.raster, label="the renderer", device="cpu")
    assert capsys.readouterr().err == ""


def test_an_unwritable_kernel_folder_raises_a_one_line_error(tmp_path) -> None:
    """Warp is initialized once per process, so this test starts another one."""
    (tmp_path / "file").touch()
    environment = {**os.environ, "WARP_CACHE_PATH": str(tmp_path / "file" / "cache")}
    command = [
        *(sys.executable, "-m", "hamipose", "data", "synthesize"),
        *("--count", "1", "--out", str(tmp_path / "people")),
    ]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 2
    [line] = ended.stderr.strip().splitlines()
    assert "file/cache" in line
    assert "Not a directory" in line
    assert "WARP_CACHE_PATH" in line

import hashlib
import http.server
import io
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hamipose.cli import main
from hamipose.errors import UserError
from hamipose.inference.detection import open_detector
from hamipose.inference.loading import load
from hamipose.models.model_io import read_model_folder
from hamipose.models.pretrained import catalog
from hamipose.models.pretrained.catalog import BLAZEPOSE, DETECTOR, Package, cache_folder, cached_folder
from hamipose.models.pretrained.fetch import fetch
from tests.helpers.tflite_files import write_detector, write_landmark_model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAMIPOSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Create a small archive with the members of MediaPipe's package."""
    path = tmp_path / "pose.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for number, file in enumerate(BLAZEPOSE.files):
            content = write_detector() if file.model == DETECTOR else write_landmark_model(number)
            about = tarfile.TarInfo(file.member)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return path


@pytest.fixture
def package(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Return the catalog's package with the checksums of the small archive."""
    files = tuple(
        replace(
            file,
            sha256=hashlib.sha256(
                write_detector() if file.model == DETECTOR else write_landmark_model(number)
            ).hexdigest(),
        )
        for number, file in enumerate(BLAZEPOSE.files)
    )
    small = replace(BLAZEPOSE, files=files, sha256=hashlib.sha256(archive.read_bytes()).hexdigest())
    monkeypatch.setitem(catalog.PACKAGES, "blazepose", small)
    return small


def served(content: bytes) -> tuple[http.server.HTTPServer, str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}/pose.tgz"


def test_fetch_installs_models_that_load_by_name(
    cache: Path, archive: Path, package: Package, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server, url = served(archive.read_bytes())
    seen = []
    try:
        fetch(replace(package, url=url), progress=lambda done, total: seen.append((done, total)))
    finally:
        server.shutdown()
    assert seen[-1] == (archive.stat().st_size, archive.stat().st_size)
    assert sorted(p.name for p in cache.iterdir()) == sorted(file.model for file in package.files)
    assert read_model_folder(cache / "blazepose-full")[1].skeleton == "blazepose33"
    assert load("blazepose-full", device="cpu").skeleton.name == "coco17"
    assert load("blazepose-lite", device="cpu", skeleton="body16").skeleton.name == "body16"
    assert open_detector("blazepose").name == DETECTOR
    with pytest.raises(UserError, match="skeleton is 'hand21'"):
        load("blazepose-full", skeleton="hand21")
    with pytest.raises(UserError, match="only accepts crops of 256 px"):
        load("blazepose-full", image_size=128)
    with pytest.raises(UserError, match="is a person detector without keypoints"):
        load(DETECTOR)
    fetch(package, archive=archive)  # again: replaced
    assert sorted(p.name for p in cache.iterdir()) == sorted(file.model for file in package.files)


def test_fetch_accepts_a_downloaded_archive(
    cache: Path, archive: Path, package: Package, capsys: pytest.CaptureFixture
):
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out.count("not fetched") == 4
    assert main(["models", "fetch", "blazepose-heavy", "--from", str(archive)]) == 0
    assert "Apache-2.0" in capsys.readouterr().out
    assert main(["models", "list"]) == 0
    assert "not fetched" not in capsys.readouterr().out
    assert main(["models", "show", "blazepose-heavy"]) == 0
    shown = capsys.readouterr().out
    for expected in (
        "Apache-2.0",
        package.url,
        package.sha256,
        "41 MB",
        str(cache / "blazepose-heavy"),
        "training data",
    ):
        assert expected in shown


def test_fetch_rejects_another_archive(cache: Path, archive: Path, package: Package, tmp_path: Path):
    other = tmp_path / "other.tgz"
    other.write_bytes(archive.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"other\.tgz has SHA-256 .*, expected .*nothing was installed"):
        fetch(package, archive=other)
    wrong = replace(package, files=(replace(package.files[0], sha256="0" * 64),))
    with pytest.raises(UserError, match="in the archive has SHA-256"):
        fetch(wrong, archive=archive)
    with pytest.raises(UserError, match=r"archive .*no\.tgz does not exist"):
        fetch(package, archive=tmp_path / "no.tgz")
    assert list(cache.iterdir()) == []


def test_fetch_without_network_is_reported_in_one_line(
    cache: Path, package: Package, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    assert main(["models", "fetch", "blazepose"]) == 2
    output = capsys.readouterr().err
    assert "cannot be downloaded (no network); download it on another machine and give it with --from" in output
    assert output.count("\n") == 1
    assert list(cache.iterdir()) == []


def test_predict_and_show_download_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
):
    asked = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: asked.append(args))
    for words in (["predict", str(tmp_path), "--checkpoint", "blazepose-heavy"], ["models", "show", "blazepose"]):
        main(words)
    assert "models fetch blazepose downloads it (41 MB, Apache-2.0)" in capsys.readouterr().err
    with pytest.raises(UserError, match="blazepose is a package of several models; give one of blazepose-lite"):
        cached_folder("blazepose")
    assert cached_folder("runs/adapted") is None
    assert asked == []
    assert not cache.exists()


def test_unknown_models_are_rejected(cache: Path, capsys: pytest.CaptureFixture):
    for verb in ("fetch", "show"):
        assert main(["models", verb, "blazepose-huge"]) == 2
        assert (
            "there is no model 'blazepose-huge'; expected one of blazepose, blazepose-lite" in capsys.readouterr().err
        )


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("HAMIPOSE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "hamipose" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "hamipose" / "models"
    monkeypatch.setenv("HAMIPOSE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own" / "models"


def test_catalog_does_not_import_torch():
    code = "import sys; from hamipose.cli import main; main(['models', 'list']); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

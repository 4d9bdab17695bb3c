"""Folders of users: hidden files, links, images in many formats."""

import os
from pathlib import Path

import pytest

from hamipose.io.image_folder import find_missing_files, list_images


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in list_images(root).paths]


def test_hidden_files_and_system_folders_are_skipped(tmp_path: Path):
    root = tmp_path / ".photos"  # a folder that a user names is read even if it is hidden
    touch(root / "b.JPG", root / "a" / "c.png", root / "notes.txt", root / "clip.mp4")
    touch(root / "._b.JPG", root / ".ipynb_checkpoints" / "b.JPG", root / "@eaDir" / "b.JPG", root / ".a.part.jpg")
    touch(root / "__MACOSX" / "a" / "._c.png", root / "$RECYCLE.BIN" / "d.jpg")
    assert names(root) == ["a/c.png", "b.JPG"]
    assert list_images(root).skipped == []


def test_unsupported_formats_are_reported_in_one_line_each(tmp_path: Path):
    touch(*(tmp_path / f"{i}.CR2" for i in range(5)), tmp_path / "sub" / "a.psd", tmp_path / "ok.webp")
    listed = list_images(tmp_path)
    assert [path.name for path in listed.paths] == ["ok.webp"]
    assert len(listed.skipped) == 2
    assert listed.skipped[0].startswith(f"5 files in {tmp_path}, such as 0.CR2, 1.CR2, 2.CR2: format not supported")
    assert listed.skipped[1].startswith(f"1 file in {tmp_path}, such as sub/a.psd: format not supported (.psd)")


def test_links_to_folders_are_followed_once(tmp_path: Path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    touch(root / "z" / "a.jpg", outside / "b.jpg", outside / "deep" / "c.jpg")
    (root / "a_link").symlink_to(root / "z")  # a second path to the same folder
    (root / "z" / "loop").symlink_to(root)
    (root / "out").symlink_to(outside)
    (root / "out2").symlink_to(outside)
    (outside / "deep" / "back").symlink_to(outside)
    (root / "itself.jpg").symlink_to(root / "itself.jpg")
    (root / "lost.jpg").symlink_to(tmp_path / "nowhere.jpg")  # reading it reports that it is missing
    os.mkfifo(root / "pipe.jpg")  # reading it would block
    assert names(root) == ["itself.jpg", "lost.jpg", "out/b.jpg", "out/deep/c.jpg", "z/a.jpg"]
    link = tmp_path / "link"
    link.symlink_to(root)
    assert names(link) == names(root)


def test_an_unreadable_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    touch(tmp_path / "a.jpg", tmp_path / "locked" / "b.jpg")
    scandir = os.scandir

    def refuse(path: Path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listed = list_images(tmp_path)
    assert [path.name for path in listed.paths] == ["a.jpg"]
    assert listed.skipped == [f"folder {tmp_path / 'locked'} cannot be opened (Permission denied)"]


def test_missing_files_are_found(tmp_path: Path):
    touch(tmp_path / "a" / "1.jpg", tmp_path / "2.jpg")
    paths = [tmp_path / "a" / "1.jpg", tmp_path / "2.jpg", tmp_path / "none" / "3.jpg", tmp_path / "4.jpg"]
    assert list(find_missing_files([*paths, *paths])) == paths[2:]

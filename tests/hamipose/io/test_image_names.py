"""Matching of names in a file with images on disk."""

from pathlib import Path

import pytest

from hamipose.io.image_names import PathSuffixes, locate_images, match_images


def match(names: list[str | int], paths: list[str]) -> dict:
    return match_images({name: name for name in names}, paths).found


def test_names_match_paths_by_their_suffix():
    paths = ["a/1.jpg", "b/1.jpg", "c/2.jpg"]
    assert match(["/x/a/1.jpg", "y/b/1.jpg", "elsewhere/2.jpg"], paths) == {
        "/x/a/1.jpg": "a/1.jpg",
        "y/b/1.jpg": "b/1.jpg",
        "elsewhere/2.jpg": "c/2.jpg",
    }
    assert match(["D:\\x\\a\\1.jpg"], paths) == {"D:\\x\\a\\1.jpg": "a/1.jpg"}
    matches = match_images({"1.jpg": "1.jpg", "z/1.jpg": "z/1.jpg"}, paths)
    assert matches.found == {}
    assert matches.ambiguous == {"1.jpg": ["a/1.jpg", "b/1.jpg"], "z/1.jpg": ["a/1.jpg", "b/1.jpg"]}


def test_two_names_do_not_match_one_image():
    assert match(["old/a/1.jpg", "old/b/1.jpg"], ["a/1.jpg"]) == {"old/a/1.jpg": "a/1.jpg"}  # the other is missing
    assert match_images({1: "x/1.jpg", 2: "y/1.jpg"}, ["1.jpg"]).found == {}
    assert match(["1.jpg", "y/1.jpg"], ["1.jpg"]) == {"1.jpg": "1.jpg"}
    assert match(["./1.jpg", "1.jpg"], ["1.jpg"]) == {
        "./1.jpg": "1.jpg",
        "1.jpg": "1.jpg",
    }  # one image in two spellings


def test_numbers_match_the_end_of_file_names():
    assert match([139, 7], ["000000000139.jpg", "im0007.png", "x.png"]) == {139: "000000000139.jpg", 7: "im0007.png"}
    assert match_images({7: 7}, ["a7.png", "b7.png"]).ambiguous == {7: ["a7.png", "b7.png"]}


def test_nearest_returns_paths_with_the_longest_common_suffix():
    ends = PathSuffixes(["a/1.jpg", "b/1.jpg"])
    assert ends.nearest("/x/b/1.jpg") == (["b/1.jpg"], 2)
    assert ends.nearest("2.jpg") == ([], 0)


@pytest.mark.parametrize("name", ["in/1.png", "in\\1.png", "/gone/in/1.png", "1.png", "images/in/1.png"])
def test_images_are_located_below_a_folder(tmp_path: Path, name: str):
    for folder in ("in", "other"):
        (tmp_path / folder).mkdir()
    for file in ("in/1.png", "other/2.png", "in/notes.txt"):
        (tmp_path / file).touch()
    assert locate_images(tmp_path, [name]).found == {name: str(tmp_path / "in/1.png")}
    assert locate_images(tmp_path, ["9.png", "x" * 5000]).found == {}
    assert locate_images(tmp_path, [2]).found == {2: str(tmp_path / "other/2.png")}
    (tmp_path / "other/1.png").touch()
    several = locate_images(tmp_path, ["1.png"])
    assert (several.found, len(several.ambiguous["1.png"])) == ({}, 2)

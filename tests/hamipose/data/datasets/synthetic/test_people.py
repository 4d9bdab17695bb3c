"""Synthetic people on disk: images are rendered once, rendering resumes, and series are not mixed."""

import json

import cv2
import numpy as np
import pytest

from hamipose.data.datasets.synthetic import people as synthetic
from hamipose.data.datasets.synthetic.people import SyntheticPeople, synthesize_people
from hamipose.errors import UserError
from hamipose.skeletons import BODY16, COCO17, LSP14
from hamipose.synthetic import annotations
from hamipose.synthetic.render_jobs import BLOCK, image_name, write_atomically

SIZE = 48


def make(folder, count, style="plain", seed=0, workers=1, **more):
    return synthesize_people(
        style, count, SIZE, seed, str(folder), workers=workers, device="cpu", progress=False, **more
    )


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people") / "plain"
    make(folder, 6)
    return folder


def contents(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_interrupted_rendering_resumes_identically(six, tmp_path, monkeypatch):
    real, made = annotations.make_person_record, []

    def interrupt(folder, index, **arguments):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(index)
        return real(folder, index, **arguments)

    monkeypatch.setattr(annotations, "make_person_record", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, 6)
    assert not (tmp_path / "annotations.json").exists()
    assert sorted(p.name for p in tmp_path.glob("images/*.json")) == [f"00000{i}.json" for i in range(3)]
    (tmp_path / "images" / "000003.jpg.part").write_bytes(b"\xff\xd8")  # left by a killed process
    made.clear()
    monkeypatch.setattr(annotations, "make_person_record", lambda *a, **k: made.append(a[1]) or real(*a, **k))
    make(tmp_path, 6)
    assert made == [3, 4, 5]
    assert contents(tmp_path) == contents(six)


def test_growing_a_folder_gives_the_same_files_as_one_run(six, tmp_path):
    make(tmp_path, 2)
    make(tmp_path, 6)
    assert contents(tmp_path) == contents(six)
    make(tmp_path, 1)  # images are never deleted
    assert contents(tmp_path) == contents(six)


def make_fake_record(folder, index, **arguments):
    """Write a file and return a record that depend on the index only."""
    write_atomically(folder / image_name(index), bytes([index]))
    image = {"id": index, "file_name": image_name(index), "width": SIZE, "height": SIZE}
    return {"image": image, "annotation": {"id": index, "image_id": index, "keypoints": [], "bbox": [0.1 * index]}}


def test_shards_give_the_same_files_as_one_run(tmp_path, monkeypatch):
    monkeypatch.setattr(annotations, "make_person_record", make_fake_record)
    make(tmp_path / "whole", 70)
    for number in (2, 3, 1):
        before = set((tmp_path / "parts").glob("images/*.json"))
        folder = make(tmp_path / "parts", 70, shard=f"{number}/3")
        assert not (folder / "annotations.json").exists()
        rendered = [int(path.stem) for path in set(folder.glob("images/*.json")) - before]
        assert {index // BLOCK % 3 for index in rendered} == {number - 1}
    made = []
    monkeypatch.setattr(
        annotations, "make_person_record", lambda *a, **k: made.append(a[1]) or make_fake_record(*a, **k)
    )
    make(tmp_path / "parts", 70, shard="2/3")  # all images exist
    make(tmp_path / "parts", 70)
    assert made == []
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_last_run_renders_a_missing_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(annotations, "make_person_record", make_fake_record)
    make(tmp_path / "whole", 70)
    make(tmp_path / "parts", 70, shard="1/2")
    make(tmp_path / "parts", 70)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize("shard", ["3", "0/4", "5/4", "a/b", "1/2/3"])
def test_invalid_shard_is_rejected(tmp_path, shard):
    with pytest.raises(UserError, match="shard is"):
        make(tmp_path, 4, shard=shard)


def test_deleted_image_is_rendered_again(six, tmp_path):
    make(tmp_path, 2)
    (tmp_path / "images" / "000001.jpg").unlink()
    make(tmp_path, 2)
    assert (tmp_path / "images" / "000001.jpg").read_bytes() == (six / "images" / "000001.jpg").read_bytes()


def test_other_series_is_rejected(six):
    with pytest.raises(UserError, match="choose another one"):
        make(six, 6, seed=1)
    with pytest.raises(UserError, match="choose another one"):
        make(six, 6, style="photo")


def test_annotation_file_has_the_coco_keypoint_format(six):
    whole = json.loads((six / "annotations.json").read_text())
    assert whole["categories"][0]["keypoints"] == list(BODY16.keypoints)
    assert [i["id"] for i in whole["images"]] == [a["image_id"] for a in whole["annotations"]]
    for a in whole["annotations"]:
        assert len(a["keypoints"]) == 3 * len(BODY16)
        assert len(a["coco17"]) == 3 * len(COCO17)
        assert a["num_keypoints"] == sum(v > 0 for v in a["keypoints"][2::3])
        assert sum(a["segmentation"]["counts"]) == SIZE * SIZE
        assert sum(a["segmentation"]["counts"][1::2]) == a["area"]
        joints = np.array(a["joints_3d_m"]["body16"]) @ np.array(a["camera"]["intrinsics"]).T
        np.testing.assert_allclose(
            joints[:, :2] / joints[:, 2:], np.array(a["keypoints"]).reshape(-1, 3)[:, :2], atol=0.1
        )


@pytest.mark.parametrize("skeleton", [BODY16, COCO17, LSP14])
def test_samples_in_each_keypoint_order(six, skeleton):
    people = SyntheticPeople(str(six), count=6, size=SIZE, skeleton=skeleton.name, workers=1)
    people.prepare()
    reference = SyntheticPeople(str(six), count=6, size=SIZE)
    assert len(people) == 6
    for index in range(6):
        sample, other = people[index], reference[index]
        assert sample.image.shape == (SIZE, SIZE, 3)
        assert sample.keypoints_px.shape == (len(skeleton), 2)
        for name in set(skeleton.keypoints) & set(BODY16.keypoints):
            k, r = skeleton.index(name), BODY16.index(name)
            np.testing.assert_array_equal(sample.keypoints_px[k], other.keypoints_px[r])
            assert sample.visibility[k] == other.visibility[r]


def test_constructor_reads_nothing_and_missing_folder_is_named(tmp_path):
    people = SyntheticPeople(str(tmp_path / "nowhere"))
    assert len(people) == 2000
    with pytest.raises(UserError, match=r"annotations\.json does not exist"):
        people[0]
    with pytest.raises(UserError, match="hand21"):
        SyntheticPeople(str(tmp_path), skeleton="hand21")


def test_prepare_renders_missing_images(six, tmp_path):
    people = SyntheticPeople(str(tmp_path / "new"), count=1, size=SIZE, workers=1)
    people.prepare()
    np.testing.assert_array_equal(people[0].image, SyntheticPeople(str(six), count=6)[0].image)


@pytest.mark.parametrize(("option", "value"), [("count", 0), ("size", 8), ("seed", -1), ("style", "oil")])
def test_invalid_options_are_named(tmp_path, option, value):
    arguments = {"style": "plain", "count": 1, "size": SIZE, "seed": 0, "out": str(tmp_path)} | {option: value}
    with pytest.raises(UserError, match=option):
        synthesize_people(**arguments)


def test_photographs_as_backgrounds(tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    with pytest.raises(UserError, match="contains no image"):
        make(tmp_path / "out", 1, backgrounds=str(photographs))
    with pytest.raises(UserError, match="is not a folder"):
        make(tmp_path / "out", 1, backgrounds=str(tmp_path / "nowhere"))
    (tmp_path / "more").mkdir()
    cv2.imwrite(str(tmp_path / "more" / "magenta.png"), np.full((60, 80, 3), (255, 0, 255), np.uint8))
    make(tmp_path / "out", 1, backgrounds=str(tmp_path / "more"))
    picture = cv2.imread(str(tmp_path / "out" / "images" / "000000.jpg")).astype(int)
    away = (np.abs(picture - (255, 0, 255)).max(-1) < 40).mean()
    assert away > 0.3


def test_damaged_annotation_file_is_named(tmp_path):
    (tmp_path / "annotations.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        make(tmp_path, 1)
    for content, says in (
        ("[]", "one annotation per image"),
        ('{"images": [{"id": 0}], "annotations": []}', "one annotation per image"),
        ('{"images": [3], "annotations": [{}]}', "entry 0 of images"),
        ('{"images": [], "annotations": []}', "lacks info"),
    ):
        (tmp_path / "annotations.json").write_text(content)
        with pytest.raises(UserError, match=f"{says}.*delete the file and render the images again"):
            make(tmp_path, 1)
    assert synthetic.__doc__


def test_only_selected_pose_families_are_rendered(tmp_path):
    make(tmp_path, 4, poses=["walking", "standing"])
    annotations = json.loads((tmp_path / "annotations.json").read_text())["annotations"]
    assert {a["pose"] for a in annotations} <= {"walking", "standing"}
    with pytest.raises(UserError, match="was requested"):
        make(tmp_path, 4)
    with pytest.raises(UserError, match=r"poses are flying, but must be some of .*standing"):
        make(tmp_path, 4, poses=["flying"])


def test_only_selected_backdrops_are_rendered(tmp_path):
    make(tmp_path, 3, backdrops=["flat"])
    for path in sorted((tmp_path / "images").iterdir()):
        rim = cv2.imread(str(path)).astype(int)[:3, 1:-1]
        assert np.median(np.abs(np.diff(rim, axis=1))) <= 2
    with pytest.raises(UserError, match="backdrops are paisley, but must be some of noise"):
        make(tmp_path, 3, backdrops=["paisley"])


def test_box_follows_the_visible_part_of_the_person(six):
    whole = SyntheticPeople(str(six), count=6, size=SIZE)
    person = SyntheticPeople(str(six), count=6, size=SIZE, box_margin=1.5)
    annotations = json.loads((six / "annotations.json").read_text())["annotations"]
    for i, annotation in enumerate(annotations):
        assert whole[i].box_px.tolist() == [0, 0, SIZE, SIZE]
        left, top, width, height = person[i].box_px
        seen = annotation["bbox"]
        assert (width, height) == pytest.approx((1.5 * seen[2], 1.5 * seen[3]))
        assert (left + width / 2, top + height / 2) == pytest.approx((seen[0] + seen[2] / 2, seen[1] + seen[3] / 2))


def test_invisible_person_gives_the_whole_image(six, tmp_path):
    content = json.loads((six / "annotations.json").read_text())
    content["annotations"][0]["bbox"] = [0.0, 0.0, 0.0, 0.0]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "images").symlink_to(six / "images")
    assert SyntheticPeople(str(tmp_path), count=6, size=SIZE, box_margin=1.5)[0].box_px.tolist() == [0, 0, SIZE, SIZE]


def test_new_format_of_one_style_rejects_its_images_only(six, tmp_path, monkeypatch):
    make(tmp_path, 1, style="photo")
    monkeypatch.setitem(annotations.FORMAT["people"], "photo", 99)
    make(six, 6)
    with pytest.raises(UserError, match="choose another one"):
        make(tmp_path, 1, style="photo")

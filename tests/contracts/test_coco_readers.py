"""COCO JSON of other programs, as all four users of the reader see it: labels, boxes, evidence, predictions."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from hamipose.adapt.labeled_score import check_labels
from hamipose.data.datasets.body.coco import CocoKeypoints
from hamipose.data.datasets.footage.boxes import ImagePersonCrops
from hamipose.errors import UserError
from hamipose.evaluation.prediction_files import in_frames, matched, read_predictions
from hamipose.inference.footage import open_footage
from hamipose.skeletons import COCO17
from meshtto.joints import JOINTS49
from meshtto.predict.frames import open_frames
from meshtto.predict.keypoints import KeypointFile

WIDTH, HEIGHT = 80, 60
NAMES = ("a.png", "b.png")
LEFT_WRIST = COCO17.index("left_wrist")
USERS = ("labels", "boxes", "evidence", "predictions")


def points(person: int) -> list[tuple[float, float]]:
    """Where a person's keypoints are, in COCO's order."""
    return [(10.0 + k + 20 * person, 5.0 + 2 * k) for k in range(17)]


def flat(person: int, third: Any = 2) -> list[Any]:
    return [v for x, y in points(person) for v in (x, y, third)]


def annotation(person: int, **changes: Any) -> dict[str, Any]:
    """Person 0 is on a.png, person 1 on b.png."""
    own = {
        "id": 10 + person,
        "image_id": 1 + person,
        "category_id": 1,
        "bbox": [10 + 20 * person, 5, 16, 32],
        "area": 512,
        "iscrowd": 0,
        "keypoints": flat(person),
        "num_keypoints": 17,
    }
    return {**own, **changes}


def whole(*annotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An annotation file."""
    images = [{"id": i, "file_name": n, "width": WIDTH, "height": HEIGHT} for i, n in enumerate(NAMES, 1)]
    content = {
        "images": images,
        "annotations": list(annotations) or [annotation(0), annotation(1)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}],
    }
    return {**content, **changes}


def results(**changes: Any) -> list[dict[str, Any]]:
    """A list of results, which names pictures by their files."""
    return [annotation(person, image_id=NAMES[person], score=0.9, **changes) for person in (0, 1)]


@dataclass
class World:
    """A folder with two pictures, and a file about them."""

    root: Path

    @property
    def pictures(self) -> Path:
        return self.root / "images"

    def write(self, content: Any, encoding: str = "utf-8") -> Path:
        path = self.root / "annotations.json"
        path.write_bytes(json.dumps(content).encode(encoding))
        return path

    def seen(self, user: str, content: Any, encoding: str = "utf-8") -> dict[str, list[np.ndarray]]:
        """Open the file as a user of the reader does: the people of each picture, by its path below the folder.

        A person is the position of the left wrist; for boxes, the middle of the box.
        """
        path = self.write(content, encoding)
        names = [str(p.relative_to(self.pictures)) for p in sorted(self.pictures.rglob("*.*"))]
        found: dict[str, list[np.ndarray]] = {name: [] for name in names}
        if user == "labels":
            data = CocoKeypoints(str(self.root), skeleton="coco17")
            data.prepare()
            for i in range(len(data)):
                name = data[i].name.rpartition("#")[0]
                found[str(Path(name).relative_to(self.pictures))].append(data[i].keypoints_px[LEFT_WRIST])
        elif user == "boxes":
            people = ImagePersonCrops(str(self.pictures), str(path), margin=1.0)
            people.prepare()
            for i in range(len(people)):
                name = people[i].name.rpartition("#")[0]
                box = people[i].box_px
                found[str(Path(name).relative_to(self.pictures))].append(box[:2] + box[2:] / 2)
        elif user == "evidence":
            file = KeypointFile(path)
            pictures = open_frames(str(self.pictures))
            file.check(pictures.paths)
            for shown in pictures:
                assert shown.path is not None
                wrist = JOINTS49.index("left_wrist")
                for person in file.of([shown])[0]:
                    found[str(shown.path.relative_to(self.pictures))].append(person.keypoints_px[wrist])
        else:
            people = read_predictions(path, COCO17)
            paths = [str(self.pictures / name) for name in names]
            for name, sample, person in zip(names, paths, matched(people, paths), strict=True):
                (own,) = in_frames([person], [sample], [False], path)
                found[name].append(own.keypoints_px[LEFT_WRIST])
        return found

    def where(self, user: str, content: Any, encoding: str = "utf-8") -> dict[str, list[tuple[float, float]]]:
        """The same with numbers to compare."""
        people = self.seen(user, content, encoding)
        return {name: [(round(float(x), 1), round(float(y), 1)) for x, y in own] for name, own in people.items()}


def expected(user: str) -> dict[str, list[tuple[float, float]]]:
    """Where the two people of :func:`whole` are."""
    if user == "boxes":
        return {name: [(18.0 + 20 * person, 21.0)] for person, name in enumerate(NAMES)}
    return {name: [points(person)[LEFT_WRIST]] for person, name in enumerate(NAMES)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "images").mkdir()
    for name in NAMES:
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return World(tmp_path)


def refused(world: World, user: str, content: Any) -> str:
    with pytest.raises(UserError) as error:
        world.seen(user, content)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---------------------------------------------------------------------------------------------------- 1: categories


@pytest.mark.parametrize("user", USERS)
def test_the_category_decides_which_names_apply(world: World, user: str, caplog: pytest.LogCaptureFixture):
    """The person is not the first category, and another one has the same names in another order."""
    dog = {"id": 3, "name": "dog", "keypoints": list(COCO17.keypoints)[::-1]}
    person = {"id": 8, "name": "person", "keypoints": list(COCO17.keypoints)}
    bicycle = {"id": 4, "name": "bicycle"}
    people = [annotation(0, category_id=8), annotation(1, category_id=8)]
    others = [annotation(0, id=50, category_id=3), annotation(1, id=51, category_id=4)]
    crowd = annotation(1, id=52, category_id=8, iscrowd=1)
    content = whole(others[0], *people, others[1], crowd, categories=[dog, bicycle, person])
    assert world.where(user, content) == expected(user)
    assert "dog" in caplog.text
    assert "bicycle" in caplog.text
    assert "1 annotation (52): marks a crowd" in caplog.text


@pytest.mark.parametrize("user", USERS)
def test_an_unknown_category_is_skipped(world: World, user: str, caplog: pytest.LogCaptureFixture):
    content = whole(annotation(0), annotation(1), annotation(1, id=77, category_id=5))
    assert world.where(user, content) == expected(user)
    assert "1 annotation (77): its category_id is not a category" in caplog.text


def test_boxes_of_a_detector_s_list_are_people_only(world: World, caplog: pytest.LogCaptureFixture):
    detections = [*results(), annotation(0, image_id="a.png", category_id=18)]
    assert world.where("boxes", detections) == expected("boxes")
    assert "category_id 18 is not person" in caplog.text


@pytest.mark.parametrize("user", USERS)
def test_lists_of_results_are_read(world: World, user: str):
    if user == "labels":  # results are not labels, and name no picture's size
        assert "list of results" in refused(world, user, results())
        return
    assert world.where(user, results()) == expected(user)


# ---------------------------------------------------------------------------------------------------- 2: third numbers


@pytest.mark.parametrize("user", ["labels", "evidence", "predictions"])
@pytest.mark.parametrize("third", [1, 2, 0.3, 1.0, None, "2"])
def test_third_numbers_of_all_kinds(world: World, user: str, third: Any):
    people = [annotation(p, keypoints=flat(p, third)) for p in (0, 1)]
    assert world.where(user, whole(*people)) == expected(user)


def test_third_numbers_are_visibility_or_confidence(world: World):
    path = world.write(whole(annotation(0, keypoints=[*flat(0, 0.25)[:48], 60, 40, 0]), annotation(1)))
    labels = CocoKeypoints(str(world.root), skeleton="coco17")
    assert labels.table.visibility.tolist() == [[2] * 16 + [0], [2] * 17]
    people = {name: file[0] for name, file in KeypointFile(path).people.items()}
    assert people["a.png"].confidence.tolist() == [0.25] * 16 + [0]
    world.write(whole(*(annotation(p, keypoints=flat(p, 1)) for p in (0, 1))))
    assert (CocoKeypoints(str(world.root), skeleton="coco17").table.visibility == 1).all()
    scored = [annotation(0, keypoints=flat(0, 1.0)), annotation(1, keypoints=flat(1, 0.5))]
    world.write(whole(*scored))
    assert (CocoKeypoints(str(world.root), skeleton="coco17").table.visibility == 2).all()


@pytest.mark.parametrize("user", ["labels", "evidence"])
def test_a_set_without_any_label_says_so(world: World, user: str):
    people = [annotation(p, keypoints=flat(p, 0)) for p in (0, 1)]
    assert "2 annotations (10, 11): has no labeled keypoint" in refused(world, user, whole(*people))
    odd = [annotation(p, keypoints=flat(p, 7)) for p in (0, 1)]
    assert "must be 0, 1, 2, null or a score in (0, 1]" in refused(world, user, whole(*odd))


# ---------------------------------------------------------------------------------------------------- 3: repeated ids


@pytest.mark.parametrize("user", USERS)
def test_repeated_image_ids_are_named(world: World, user: str):
    images = [{"id": 1, "file_name": name} for name in NAMES]
    told = refused(world, user, whole(images=images))
    assert "has 2 images with id 1: 'a.png', 'b.png'" in told


# ---------------------------------------------------------------------------------------------------- 4: bad records

BAD: dict[str, dict[str, Any]] = {
    "zero box": {"bbox": [1, 2, 0, 5]},
    "negative box": {"bbox": [1, 2, 3, -5]},
    "NaN box": {"bbox": [1, float("nan"), 3, 5]},
    "NaN": {"keypoints": [float("nan"), *flat(0)[1:]]},
    "Inf": {"keypoints": [float("inf"), *flat(0)[1:]]},
    "huge": {"keypoints": [10**400, *flat(0)[1:]]},
    "no keypoints": {"keypoints": None},
    "empty": {"keypoints": []},
    "zeros": {"keypoints": [0] * 51},
    "too few": {"keypoints": flat(0)[:-1]},
    "text": {"keypoints": "none"},
    "no picture": {"image_id": 99},
    "strange id": {"image_id": {"a": 1}},
}
SEEN_BY_ALL = ("no picture", "strange id")


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", BAD)
def test_one_bad_record_costs_itself_alone(world: World, user: str, kind: str, caplog: pytest.LogCaptureFixture):
    content = whole(annotation(0), annotation(1), annotation(1, id=66, **BAD[kind]), 7, None)  # type: ignore[arg-type]
    if (kind.endswith("box")) == (user in ("evidence", "predictions")) and kind not in SEEN_BY_ALL and user != "labels":
        return  # a box that the keypoints do not need, or keypoints that boxes do not need
    if user == "predictions" and kind == "zeros":
        return  # a position, whatever its confidence
    assert world.where(user, content) == expected(user)
    assert "1 annotation (66)" in caplog.text
    assert "2 annotations (number 3, number 4): is not an object" in caplog.text


# ---------------------------------------------------------------------------------------------------- 5: spellings


def rename(content: dict[str, Any], key: Callable[[int], Any]) -> dict[str, Any]:
    """The same file with other ids."""
    for image in content["images"]:
        image["id"] = key(image["id"])
    for person in content["annotations"]:
        person["image_id"] = key(person["image_id"])
    return content


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings(world: World, user: str, encoding: str):
    assert world.where(user, whole(), encoding) == expected(user)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(
    "content",
    [
        rename(whole(), str),
        rename(whole(), float),
        rename(whole(), lambda i: f"3f2504e0-4f89-11d3-9a0c-0305e82c330{i}"),
        whole(images=[{"id": str(i), "file_name": n} for i, n in enumerate(NAMES, 1)]),
        whole(images=[{"id": i, "file_name": f".\\images\\{n}", "extra": {}} for i, n in enumerate(NAMES, 1)]),
        whole(images=[{"id": i, "file_name": f"C:\\old\\{n}"} for i, n in enumerate(NAMES, 1)]),
        whole(*(annotation(p, keypoints=[[x, y, 2] for x, y in points(p)]) for p in (0, 1))),
        whole(*(annotation(p, keypoints=[str(v) for v in flat(p)]) for p in (0, 1))),
        whole(*(annotation(p, keypoints=str(flat(p))) for p in (0, 1))),
        whole(*(annotation(p, bbox=[str(v) for v in annotation(p)["bbox"]], id=f"p{p}", more=[1]) for p in (0, 1))),
        whole(*({k: v for k, v in annotation(p).items() if k not in ("area", "iscrowd", "id")} for p in (0, 1))),
    ],
    ids=["text", "float", "uuid", "mixed", "backslash", "drive", "triples", "strings", "string", "extra", "missing"],
)
def test_the_same_file_in_other_spellings(world: World, user: str, content: dict[str, Any]):
    assert world.where(user, content) == expected(user)


@pytest.mark.parametrize("user", ["labels", "evidence", "predictions"])
@pytest.mark.parametrize("spell", [str.title, str.upper, lambda n: n.replace("left_", "L").replace("right_", "R")])
def test_names_in_other_spellings(world: World, user: str, spell: Callable, caplog: pytest.LogCaptureFixture):
    names = [spell(name).replace("_", " ") for name in COCO17.keypoints]
    names[0] = "Snout"
    content = whole(categories=[{"id": 1, "name": "Person", "keypoints": names}])
    assert world.where(user, content) == expected(user)
    assert "not used here: Snout" in caplog.text


def test_without_a_box_the_person_is_where_its_keypoints_are(world: World, caplog: pytest.LogCaptureFixture):
    people = [{k: v for k, v in annotation(p).items() if k != "bbox"} for p in (0, 1)]
    world.write(whole(*people))
    data = CocoKeypoints(str(world.root), skeleton="coco17", padding=1.0)
    assert data[1].box_px.tolist() == [30, 5, 16, 32]
    assert "people without bbox" in caplog.text
    assert "has no bbox" in refused(world, "boxes", whole(*people))


# ---------------------------------------------------------------------------------------------------- 6: sizes


@pytest.mark.parametrize("user", USERS)
def test_a_file_made_for_pictures_of_another_size_is_refused(world: World, user: str):
    images = [{"id": i, "file_name": n, "width": WIDTH * 2, "height": HEIGHT * 2} for i, n in enumerate(NAMES, 1)]
    told = refused(world, user, whole(images=images))
    assert f"a.png has {WIDTH} × {HEIGHT} px, but" in told
    assert f"states {2 * WIDTH} × {2 * HEIGHT} px" in told


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("upright", [True, None])
def test_turned_pictures(tmp_path: Path, user: str, orientation: int, upright: bool | None):
    """A mark stays under the person's wrist, whether the file was made for stored or for upright pictures."""
    (tmp_path / "images").mkdir()
    stored = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    mark = (20, 15)
    stored[mark[1] - 1 : mark[1] + 2, mark[0] - 1 : mark[0] + 2] = 255
    tag = Image.Exif()
    tag[0x0112] = orientation
    path = tmp_path / "images" / "a.jpg"
    Image.fromarray(stored).save(path, exif=tag, quality=95)
    turned = next(iter(open_footage(str(path)).samples)).image
    x, y = (np.argwhere(turned.min(-1) > 128).mean(0)[::-1] if upright else np.array(mark)).round().tolist()
    height, width = turned.shape[:2] if upright else stored.shape[:2]
    person = annotation(0, keypoints=[x, y, 2] * 17, bbox=[x - 5, y - 5, 11, 11])
    images = [{"id": 1, "file_name": "a.jpg", "width": width, "height": height}]
    info = {} if upright is None or orientation != 3 else {"upright": True}  # sizes tell the others apart
    world = World(tmp_path)
    content = whole(person, images=images, info=info)
    ((found,),) = world.seen(user, content).values()
    if user == "labels":
        sample = CocoKeypoints(str(tmp_path), skeleton="coco17")[0]
        assert sample.image[round(found[1]), round(found[0])].min() > 128
    elif user == "predictions":  # scored on stored pixels here
        assert found.round().tolist() == list(mark)
    else:
        assert turned[round(found[1] - 0.01), round(found[0] - 0.01)].min() > 128


def test_a_turned_picture_of_unknown_size_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "images").mkdir()
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / "images" / "a.jpg", exif=tag)
    World(tmp_path).seen("labels", whole(annotation(0), images=[{"id": 1, "file_name": "a.jpg"}]))
    assert "does not state the size of 1 pictures with an orientation tag (a.jpg, …)" in caplog.text


# ---------------------------------------------------------------------------------------------------- 7: folders


@pytest.mark.parametrize("user", ["labels", "boxes", "predictions"])
def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path, user: str):
    for folder in ("one", "two"):
        (tmp_path / "images" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "images" / folder / "0.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    world = World(tmp_path)
    named = {"one/0.png": expected(user)["a.png"], "two/0.png": expected(user)["b.png"]}
    for prefix in ("", "/data/export/", "D:\\export\\", "images/"):
        images = [{"id": i, "file_name": f"{prefix}{folder}/0.png"} for i, folder in enumerate(("one", "two"), 1)]
        assert world.where(user, whole(images=images)) == named
    one = [{"id": i, "file_name": f"/other/{i}/0.png"} for i in (1, 2)]
    assert "0.png" in refused(world, user, whole(images=one))


def test_evidence_of_one_name_is_told_apart_by_its_folder(world: World):
    images = [{"id": 1, "file_name": "x/images/a.png"}, {"id": 2, "file_name": "y/b/a.png"}]
    assert world.where("evidence", whole(images=images)) == {"a.png": [points(0)[LEFT_WRIST]], "b.png": []}
    images = [{"id": 1, "file_name": "x/a.png"}, {"id": 2, "file_name": "y/a.png"}]
    assert "each of which could be" in refused(world, "evidence", whole(images=images))


def test_boxes_of_one_picture_are_found_by_its_folder(world: World):
    folder = world.pictures.name
    images = [{"id": 1, "file_name": "elsewhere/a.png"}, {"id": 2, "file_name": f"old/{folder}/a.png"}]
    path = world.write(whole(images=images))
    (sample,) = open_footage(str(world.pictures / "a.png"), boxes=str(path)).samples
    assert sample.box_px[0] + 2 == 30


def test_missing_pictures_are_named_before_anything_else(world: World, caplog: pytest.LogCaptureFixture):
    (world.pictures / "b.png").unlink()
    assert "b.png, named in" in refused(world, "boxes", whole())
    data = CocoKeypoints(str(world.root))
    with pytest.raises(UserError, match=r"b\.png, named in"):
        check_labels(data)
    data.prepare()  # training goes on with other pictures in the place of missing ones
    assert "1 of its 2 pictures do not exist" in caplog.text
    (world.pictures / "a.png").unlink()
    with pytest.raises(UserError, match=r"a\.png, named in .*, does not exist, nor do 1 of the other 1"):
        CocoKeypoints(str(world.root)).prepare()

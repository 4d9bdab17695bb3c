"""COCO files of other programs are read alike as labels, boxes, evidence and predictions."""

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
from hamipose.data.datasets.footage.person_crops import ImagePersonCrops
from hamipose.errors import UserError
from hamipose.evaluation.prediction_files import match_predictions, orient_predictions, read_predictions
from hamipose.inference.footage import open_footage
from hamipose.skeletons import COCO17
from meshtto.joints import JOINTS49
from meshtto.predict.frames import open_frames
from meshtto.predict.keypoints import KeypointFile

WIDTH, HEIGHT = 80, 60
NAMES = ("a.png", "b.png")
LEFT_WRIST = COCO17.index("left_wrist")
PURPOSES = ("labels", "boxes", "evidence", "predictions")


def points(person: int) -> list[tuple[float, float]]:
    """Return the keypoints of a person in COCO's order."""
    return [(10.0 + k + 20 * person, 5.0 + 2 * k) for k in range(17)]


def flat(person: int, third: Any = 2) -> list[Any]:
    return [v for x, y in points(person) for v in (x, y, third)]


def annotation(person: int, **changes: Any) -> dict[str, Any]:
    """Return the annotation of person 0 in a.png or of person 1 in b.png."""
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


def make_file(*annotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an annotation file."""
    images = [{"id": i, "file_name": n, "width": WIDTH, "height": HEIGHT} for i, n in enumerate(NAMES, 1)]
    content = {
        "images": images,
        "annotations": list(annotations) or [annotation(0), annotation(1)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}],
    }
    return {**content, **changes}


def results(**changes: Any) -> list[dict[str, Any]]:
    """Return a list of results, which identifies images by their file names."""
    return [annotation(person, image_id=NAMES[person], score=0.9, **changes) for person in (0, 1)]


@dataclass
class Folder:
    """A folder with two images and an annotation file."""

    root: Path

    @property
    def images(self) -> Path:
        return self.root / "images"

    def write(self, content: Any, encoding: str = "utf-8") -> Path:
        path = self.root / "annotations.json"
        path.write_bytes(json.dumps(content).encode(encoding))
        return path

    def read(self, purpose: str, content: Any, encoding: str = "utf-8") -> dict[str, list[np.ndarray]]:
        """Read the file for one purpose and return the people of each image by its path below the folder.

        A person is represented by the left wrist or, for boxes, by the center of the box.
        """
        path = self.write(content, encoding)
        names = [str(p.relative_to(self.images)) for p in sorted(self.images.rglob("*.*"))]
        found_px: dict[str, list[np.ndarray]] = {name: [] for name in names}
        if purpose == "labels":
            data = CocoKeypoints(str(self.root), skeleton="coco17")
            data.prepare()
            for i in range(len(data)):
                name = data[i].name.rpartition("#")[0]
                found_px[str(Path(name).relative_to(self.images))].append(data[i].keypoints_px[LEFT_WRIST])
        elif purpose == "boxes":
            people = ImagePersonCrops(str(self.images), str(path), margin=1.0)
            people.prepare()
            for i in range(len(people)):
                name = people[i].name.rpartition("#")[0]
                box = people[i].box_px
                found_px[str(Path(name).relative_to(self.images))].append(box[:2] + box[2:] / 2)
        elif purpose == "evidence":
            file = KeypointFile(path)
            images = open_frames(str(self.images))
            file.check(images.paths)
            for frame in images:
                assert frame.path is not None
                wrist = JOINTS49.index("left_wrist")
                for person in file.find_people([frame])[0]:
                    found_px[str(frame.path.relative_to(self.images))].append(person.keypoints_px[wrist])
        else:
            people = read_predictions(path, COCO17)
            paths = [str(self.images / name) for name in names]
            for name, sample, person in zip(names, paths, match_predictions(people, paths), strict=True):
                (own,) = orient_predictions([person], [sample], [False], path)
                found_px[name].append(own.keypoints_px[LEFT_WRIST])
        return found_px

    def locate(self, purpose: str, content: Any, encoding: str = "utf-8") -> dict[str, list[tuple[float, float]]]:
        """Return the same as tuples of rounded numbers."""
        people = self.read(purpose, content, encoding)
        return {name: [(round(float(x), 1), round(float(y), 1)) for x, y in own] for name, own in people.items()}


def expected(purpose: str) -> dict[str, list[tuple[float, float]]]:
    """Return the positions of the two people of :func:`make_file`."""
    if purpose == "boxes":
        return {name: [(18.0 + 20 * person, 21.0)] for person, name in enumerate(NAMES)}
    return {name: [points(person)[LEFT_WRIST]] for person, name in enumerate(NAMES)}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "images").mkdir()
    for name in NAMES:
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return Folder(tmp_path)


def read_error(folder: Folder, purpose: str, content: Any) -> str:
    with pytest.raises(UserError) as error:
        folder.read(purpose, content)
    assert "\n" not in str(error.value)
    return str(error.value)


# ------------------------------------------------------------ 1: categories


@pytest.mark.parametrize("purpose", PURPOSES)
def test_keypoint_names_are_those_of_the_person_category(
    folder: Folder, purpose: str, caplog: pytest.LogCaptureFixture
):
    """Person is not the first category, and another category has the same names in another order."""
    dog = {"id": 3, "name": "dog", "keypoints": list(COCO17.keypoints)[::-1]}
    person = {"id": 8, "name": "person", "keypoints": list(COCO17.keypoints)}
    bicycle = {"id": 4, "name": "bicycle"}
    people = [annotation(0, category_id=8), annotation(1, category_id=8)]
    others = [annotation(0, id=50, category_id=3), annotation(1, id=51, category_id=4)]
    crowd = annotation(1, id=52, category_id=8, iscrowd=1)
    content = make_file(others[0], *people, others[1], crowd, categories=[dog, bicycle, person])
    assert folder.locate(purpose, content) == expected(purpose)
    assert "dog" in caplog.text
    assert "bicycle" in caplog.text
    assert "1 annotation (52): marks a crowd" in caplog.text


@pytest.mark.parametrize("purpose", PURPOSES)
def test_annotations_of_unknown_categories_are_skipped(folder: Folder, purpose: str, caplog: pytest.LogCaptureFixture):
    content = make_file(annotation(0), annotation(1), annotation(1, id=77, category_id=5))
    assert folder.locate(purpose, content) == expected(purpose)
    assert "1 annotation (77): its category_id is not a category" in caplog.text


def test_boxes_of_detections_are_people_only(folder: Folder, caplog: pytest.LogCaptureFixture):
    detections = [*results(), annotation(0, image_id="a.png", category_id=18)]
    assert folder.locate("boxes", detections) == expected("boxes")
    assert "category_id 18 is not person" in caplog.text


@pytest.mark.parametrize("purpose", PURPOSES)
def test_results_are_read_except_as_labels(folder: Folder, purpose: str):
    if purpose == "labels":  # results are not labels, and contain no image sizes
        assert "list of results" in read_error(folder, purpose, results())
        return
    assert folder.locate(purpose, results()) == expected(purpose)


# ------------------------------------------------------------ 2: visibility


@pytest.mark.parametrize("purpose", ["labels", "evidence", "predictions"])
@pytest.mark.parametrize("third", [1, 2, 0.3, 1.0, None, "2"])
def test_visibility_of_any_type_is_read(folder: Folder, purpose: str, third: Any):
    people = [annotation(p, keypoints=flat(p, third)) for p in (0, 1)]
    assert folder.locate(purpose, make_file(*people)) == expected(purpose)


def test_visibility_can_be_a_confidence(folder: Folder):
    path = folder.write(make_file(annotation(0, keypoints=[*flat(0, 0.25)[:48], 60, 40, 0]), annotation(1)))
    labels = CocoKeypoints(str(folder.root), skeleton="coco17")
    assert labels.labels.visibility.tolist() == [[2] * 16 + [0], [2] * 17]
    people = {name: file[0] for name, file in KeypointFile(path).people.items()}
    assert people["a.png"].confidence.tolist() == [0.25] * 16 + [0]
    folder.write(make_file(*(annotation(p, keypoints=flat(p, 1)) for p in (0, 1))))
    assert (CocoKeypoints(str(folder.root), skeleton="coco17").labels.visibility == 1).all()
    scored = [annotation(0, keypoints=flat(0, 1.0)), annotation(1, keypoints=flat(1, 0.5))]
    folder.write(make_file(*scored))
    assert (CocoKeypoints(str(folder.root), skeleton="coco17").labels.visibility == 2).all()


@pytest.mark.parametrize("purpose", ["labels", "evidence"])
def test_data_sets_without_labels_are_refused(folder: Folder, purpose: str):
    people = [annotation(p, keypoints=flat(p, 0)) for p in (0, 1)]
    assert "2 annotations (10, 11): has no labeled keypoint" in read_error(folder, purpose, make_file(*people))
    odd = [annotation(p, keypoints=flat(p, 7)) for p in (0, 1)]
    assert "must be 0, 1, 2, null or a score in (0, 1]" in read_error(folder, purpose, make_file(*odd))


# ------------------------------------------------------------ 3: repeated ids


@pytest.mark.parametrize("purpose", PURPOSES)
def test_repeated_image_ids_are_refused(folder: Folder, purpose: str):
    images = [{"id": 1, "file_name": name} for name in NAMES]
    message = read_error(folder, purpose, make_file(images=images))
    assert "has 2 images with id 1: 'a.png', 'b.png'" in message


# ------------------------------------------------------------ 4: invalid records

INVALID: dict[str, dict[str, Any]] = {
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
INVALID_FOR_ALL = ("no picture", "strange id")


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("kind", INVALID)
def test_only_the_invalid_record_is_skipped(folder: Folder, purpose: str, kind: str, caplog: pytest.LogCaptureFixture):
    invalid = annotation(1, id=66, **INVALID[kind])
    content = make_file(annotation(0), annotation(1), invalid, 7, None)  # type: ignore[arg-type]
    if (
        (kind.endswith("box")) == (purpose in ("evidence", "predictions"))
        and kind not in INVALID_FOR_ALL
        and purpose != "labels"
    ):
        return  # boxes do not matter for keypoints, nor keypoints for boxes
    if purpose == "predictions" and kind == "zeros":
        return  # positions are used regardless of their confidence
    assert folder.locate(purpose, content) == expected(purpose)
    assert "1 annotation (66)" in caplog.text
    assert "2 annotations (number 3, number 4): is not an object" in caplog.text


# ------------------------------------------------------------ 5: encodings and notations


def replace_ids(content: dict[str, Any], key: Callable[[int], Any]) -> dict[str, Any]:
    """Replace the image ids of a file."""
    for image in content["images"]:
        image["id"] = key(image["id"])
    for person in content["annotations"]:
        person["image_id"] = key(person["image_id"])
    return content


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_text_encodings_are_detected(folder: Folder, purpose: str, encoding: str):
    assert folder.locate(purpose, make_file(), encoding) == expected(purpose)


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize(
    "content",
    [
        replace_ids(make_file(), str),
        replace_ids(make_file(), float),
        replace_ids(make_file(), lambda i: f"3f2504e0-4f89-11d3-9a0c-0305e82c330{i}"),
        make_file(images=[{"id": str(i), "file_name": n} for i, n in enumerate(NAMES, 1)]),
        make_file(images=[{"id": i, "file_name": f".\\images\\{n}", "extra": {}} for i, n in enumerate(NAMES, 1)]),
        make_file(images=[{"id": i, "file_name": f"C:\\old\\{n}"} for i, n in enumerate(NAMES, 1)]),
        make_file(*(annotation(p, keypoints=[[x, y, 2] for x, y in points(p)]) for p in (0, 1))),
        make_file(*(annotation(p, keypoints=[str(v) for v in flat(p)]) for p in (0, 1))),
        make_file(*(annotation(p, keypoints=str(flat(p))) for p in (0, 1))),
        make_file(*(annotation(p, bbox=[str(v) for v in annotation(p)["bbox"]], id=f"p{p}", more=[1]) for p in (0, 1))),
        make_file(*({k: v for k, v in annotation(p).items() if k not in ("area", "iscrowd", "id")} for p in (0, 1))),
    ],
    ids=["text", "float", "uuid", "mixed", "backslash", "drive", "triples", "strings", "string", "extra", "missing"],
)
def test_other_notations_are_read_alike(folder: Folder, purpose: str, content: dict[str, Any]):
    assert folder.locate(purpose, content) == expected(purpose)


@pytest.mark.parametrize("purpose", ["labels", "evidence", "predictions"])
@pytest.mark.parametrize("spell", [str.title, str.upper, lambda n: n.replace("left_", "L").replace("right_", "R")])
def test_keypoint_names_are_matched_in_other_spellings(
    folder: Folder, purpose: str, spell: Callable, caplog: pytest.LogCaptureFixture
):
    names = [spell(name).replace("_", " ") for name in COCO17.keypoints]
    names[0] = "Snout"
    content = make_file(categories=[{"id": 1, "name": "Person", "keypoints": names}])
    assert folder.locate(purpose, content) == expected(purpose)
    assert "not used here: Snout" in caplog.text


def test_missing_boxes_follow_from_keypoints(folder: Folder, caplog: pytest.LogCaptureFixture):
    people = [{k: v for k, v in annotation(p).items() if k != "bbox"} for p in (0, 1)]
    folder.write(make_file(*people))
    data = CocoKeypoints(str(folder.root), skeleton="coco17", padding=1.0)
    assert data[1].box_px.tolist() == [30, 5, 16, 32]
    assert "people without bbox" in caplog.text
    assert "has no bbox" in read_error(folder, "boxes", make_file(*people))


# ------------------------------------------------------------ 6: sizes


@pytest.mark.parametrize("purpose", PURPOSES)
def test_image_sizes_must_match(folder: Folder, purpose: str):
    images = [{"id": i, "file_name": n, "width": WIDTH * 2, "height": HEIGHT * 2} for i, n in enumerate(NAMES, 1)]
    message = read_error(folder, purpose, make_file(images=images))
    assert f"a.png has {WIDTH} × {HEIGHT} px, but" in message
    assert f"states {2 * WIDTH} × {2 * HEIGHT} px" in message


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("upright", [True, None])
def test_labels_follow_image_orientation(tmp_path: Path, purpose: str, orientation: int, upright: bool | None):
    """A mark stays at the wrist, whether the labels are for stored or for upright images."""
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
    info = {} if upright is None or orientation != 3 else {"upright": True}  # the others are detected by their sizes
    folder = Folder(tmp_path)
    content = make_file(person, images=images, info=info)
    ((point_px,),) = folder.read(purpose, content).values()
    if purpose == "labels":
        sample = CocoKeypoints(str(tmp_path), skeleton="coco17")[0]
        assert sample.image[round(point_px[1]), round(point_px[0])].min() > 128
    elif purpose == "predictions":  # scores use stored pixels here
        assert point_px.round().tolist() == list(mark)
    else:
        assert turned[round(point_px[1] - 0.01), round(point_px[0] - 0.01)].min() > 128


def test_rotated_images_of_unknown_size_cause_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "images").mkdir()
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / "images" / "a.jpg", exif=tag)
    Folder(tmp_path).read("labels", make_file(annotation(0), images=[{"id": 1, "file_name": "a.jpg"}]))
    assert "does not state the size of 1 images with an orientation tag (a.jpg, …)" in caplog.text


# ------------------------------------------------------------ 7: folders


@pytest.mark.parametrize("purpose", ["labels", "boxes", "predictions"])
def test_equal_file_names_are_distinguished_by_folder(tmp_path: Path, purpose: str):
    for folder in ("one", "two"):
        (tmp_path / "images" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "images" / folder / "0.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    folder = Folder(tmp_path)
    named = {"one/0.png": expected(purpose)["a.png"], "two/0.png": expected(purpose)["b.png"]}
    for prefix in ("", "/data/export/", "D:\\export\\", "images/"):
        images = [{"id": i, "file_name": f"{prefix}{folder}/0.png"} for i, folder in enumerate(("one", "two"), 1)]
        assert folder.locate(purpose, make_file(images=images)) == named
    one = [{"id": i, "file_name": f"/other/{i}/0.png"} for i in (1, 2)]
    assert "0.png" in read_error(folder, purpose, make_file(images=one))


def test_evidence_with_equal_file_names_is_distinguished_by_folder(folder: Folder):
    images = [{"id": 1, "file_name": "x/images/a.png"}, {"id": 2, "file_name": "y/b/a.png"}]
    assert folder.locate("evidence", make_file(images=images)) == {"a.png": [points(0)[LEFT_WRIST]], "b.png": []}
    images = [{"id": 1, "file_name": "x/a.png"}, {"id": 2, "file_name": "y/a.png"}]
    assert "each of which could be" in read_error(folder, "evidence", make_file(images=images))


def test_boxes_of_a_single_image_are_found_by_folder(folder: Folder):
    name = folder.images.name
    images = [{"id": 1, "file_name": "elsewhere/a.png"}, {"id": 2, "file_name": f"old/{name}/a.png"}]
    path = folder.write(make_file(images=images))
    (sample,) = open_footage(str(folder.images / "a.png"), boxes=str(path)).samples
    assert sample.box_px[0] + 2 == 30


def test_missing_images_are_reported_first(folder: Folder, caplog: pytest.LogCaptureFixture):
    (folder.images / "b.png").unlink()
    assert "b.png, named in" in read_error(folder, "boxes", make_file())
    data = CocoKeypoints(str(folder.root))
    with pytest.raises(UserError, match=r"b\.png, named in"):
        check_labels(data)
    data.prepare()  # training replaces missing images by others
    assert "1 of its 2 images do not exist" in caplog.text
    (folder.images / "a.png").unlink()
    with pytest.raises(UserError, match=r"a\.png, named in .*, does not exist, nor do 1 of the other 1"):
        CocoKeypoints(str(folder.root)).prepare()

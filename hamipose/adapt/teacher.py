"""A network as the teacher: its keypoints of the footage, predicted once and kept in a file."""

import json
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from hamipose.adapt.spec import Request
from hamipose.errors import UserError
from hamipose.inference.defaults import look_twice
from hamipose.inference.footage import open_footage
from hamipose.inference.people import LivePeople, Notes, listing
from hamipose.inference.predictor import Predictor, load
from hamipose.io.atomic_file import write_text
from hamipose.io.coco_writer import PredictedPerson, build_coco, image_name
from hamipose.io.json_file import read_record
from hamipose.models.person_detection import PersonDetector
from hamipose.models.pretrained.catalog import package_of
from hamipose.types import UnlabeledSample

__all__ = ["is_file_of_predictions", "predicted_by"]


def is_file_of_predictions(teacher: str) -> bool:
    """Whether a teacher is a file that another tool wrote, and not a network."""
    return Path(teacher).suffix.lower() == ".json"


def _opened(teacher: str) -> Predictor:
    """The network, with keypoints by the names that built-in people have, if it can be asked for them."""
    named = package_of(teacher) is not None and not Path(teacher).exists()
    model = load(teacher, skeleton="body16" if named or Path(teacher).suffix == ".tflite" else None)
    if not model.finds_people:
        raise UserError(f"--teacher {teacher} finds the keypoints of {model.skeleton.name}; expected those of people")
    return look_twice(model)


def _samples(
    request: Request, model: Predictor, detector: PersonDetector | None, known: set[str]
) -> Iterator[UnlabeledSample]:
    """People of the pictures that are not known, found as `predict` finds them."""
    turned = detector is not None and model.upright  # boxes.json has no turned crops
    footage = open_footage(
        str(request.footage), boxes=None if turned else request.boxes, frame_stride=request.frame_stride
    )
    new = (sample for sample in footage.samples if image_name(sample.name) not in known)
    yield from new if detector is None or not turned else LivePeople(new, detector, turned=True, whole=True)


def predicted_by(request: Request, detector: PersonDetector | None, say: Callable[[str], None]) -> Path:
    """Predict with the network that a request names as teacher, unless that was done; return the COCO keypoint file.

    Pictures that an interrupted call has finished are not looked at again.

    Args:
        request: names the footage and its boxes, the teacher and the folder.
        detector: has found the boxes; None if they were given, or whole pictures are looked at.
        say: receives a line before the network is used.

    Raises:
        UserError: the teacher cannot be opened, or finds other keypoints than those of people.
    """
    assert request.teacher is not None
    path = request.out / "teacher.json"
    footage = open_footage(str(request.footage), frame_stride=request.frame_stride)
    about = {
        "made_by": request.teacher,
        "detector": detector.name if detector else None,
        "boxes": request.boxes,
        "footage": str(request.footage.resolve()),
        "frame_stride": request.frame_stride,
        "pictures": listing(str(request.footage), footage.count),
    }
    if path.is_file() and read_record(path, "info")["info"].items() >= about.items():
        return path
    model = _opened(request.teacher)
    say(f"Predicting with {request.teacher}, the teacher")
    notes = Notes(path.with_name(path.name + ".part"), about)
    rows = dict(notes.known)
    try:
        found = model.stream(_samples(request, model, detector, set(rows)))
        for picture, people in groupby(found, lambda person: image_name(person.name)):
            rows[picture] = {"file_name": picture, "people": []}
            for p in people:
                numbers = [p.keypoints_px.tolist(), p.confidence.tolist(), p.region_px.tolist(), p.size_px]
                rows[picture]["people"].append([p.name, *numbers])
            notes.add(rows[picture])
    finally:
        notes.close()
    content = build_coco([PredictedPerson(*p) for row in rows.values() for p in row["people"]], model.skeleton)
    content["info"] |= about
    write_text(path, json.dumps(content) + "\n")
    notes.path.unlink()
    return path

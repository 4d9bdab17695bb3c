"""An external network as the teacher: predict the keypoints of the footage once and keep them in a file."""

import json
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from hamipose.adapt.spec import AdaptationSpec
from hamipose.errors import UserError
from hamipose.inference.box_file import ResultLog, footage_fingerprint
from hamipose.inference.detection import DetectedPeople
from hamipose.inference.footage import open_footage
from hamipose.inference.loading import load
from hamipose.inference.predictor import Predictor
from hamipose.io.atomic_file import write_text
from hamipose.io.coco_writer import PredictedPerson, build_coco, image_name
from hamipose.io.json_file import read_record
from hamipose.models.person_detection import PersonDetector
from hamipose.models.pretrained.catalog import find_package
from hamipose.types import UnlabeledSample

__all__ = ["is_prediction_file", "predict_with_teacher"]


def is_prediction_file(teacher: str) -> bool:
    """Return whether a teacher is a file of predictions rather than a network."""
    return Path(teacher).suffix.lower() == ".json"


def _open_teacher(teacher: str) -> Predictor:
    """Return the network, with the keypoints of built-in people if it can convert its own to them."""
    named = find_package(teacher) is not None and not Path(teacher).exists()
    model = load(teacher, skeleton="body16" if named or Path(teacher).suffix == ".tflite" else None)
    if not model.predicts_bodies:
        raise UserError(f"--teacher {teacher} predicts {model.skeleton.name}; expected keypoints of people")
    return model.use_default_passes()


def _remaining_samples(
    spec: AdaptationSpec, model: Predictor, detector: PersonDetector | None, finished: set[str]
) -> Iterator[UnlabeledSample]:
    """Yield the people of the images that are not finished, as `predict` would find them."""
    rotated = detector is not None and model.needs_upright_crops  # boxes.json has no rotated crops
    boxes = None if rotated else spec.boxes
    footage = open_footage(str(spec.footage), boxes=boxes, frame_stride=spec.frame_stride)
    samples = (sample for sample in footage.samples if image_name(sample.name) not in finished)
    if detector is None or not rotated:
        yield from samples
    else:
        yield from DetectedPeople(samples, detector, upright_crops=True, whole_images=True)


def predict_with_teacher(spec: AdaptationSpec, detector: PersonDetector | None, log: Callable[[str], None]) -> Path:
    """Predict the keypoints of the footage with the teacher, unless this has been done, and return the COCO file.

    An interrupted prediction is resumed after the last finished image.

    Args:
        spec: names the footage, its boxes, the teacher and the output folder.
        detector: the detector that found the boxes; None if they were given or whole images are used.
        log: receives a line before the network is used.

    Raises:
        UserError: the teacher cannot be opened, or does not predict keypoints of people.
    """
    assert spec.teacher is not None
    path = spec.out / "teacher.json"
    footage = open_footage(str(spec.footage), frame_stride=spec.frame_stride)
    info = {
        "made_by": spec.teacher,
        "detector": detector.name if detector else None,
        "boxes": spec.boxes,
        "footage": str(spec.footage.resolve()),
        "frame_stride": spec.frame_stride,
        "images": footage_fingerprint(str(spec.footage), footage.count),
    }
    if path.is_file() and read_record(path, "info")["info"].items() >= info.items():
        return path
    model = _open_teacher(spec.teacher)
    log(f"Predicting with {spec.teacher}, the teacher")
    notes = ResultLog(path.with_name(path.name + ".part"), info)
    records = dict(notes.known)
    try:
        predictions = model.stream(_remaining_samples(spec, model, detector, set(records)))
        for image, people in groupby(predictions, lambda person: image_name(person.name)):
            records[image] = {"file_name": image, "people": []}
            for p in people:
                numbers = [p.keypoints_px.tolist(), p.confidence.tolist(), p.region_px.tolist(), p.size_px]
                records[image]["people"].append([p.name, *numbers])
            notes.add(records[image])
    finally:
        notes.close()
    predicted = [PredictedPerson(*person) for record in records.values() for person in record["people"]]
    content = build_coco(predicted, model.skeleton)
    content["info"] |= info
    write_text(path, json.dumps(content) + "\n")
    notes.path.unlink()
    return path

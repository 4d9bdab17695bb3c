"""Read predicted keypoints of any system from COCO files, and match them with the people of a data set."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hamipose.errors import UserError
from hamipose.io.coco import CocoPerson, read_coco
from hamipose.io.coco_records import CocoCategory
from hamipose.io.coco_values import Identifier
from hamipose.io.image_names import match_images
from hamipose.io.image_orientation import is_annotated_upright, orient_points, read_image_header
from hamipose.io.json_file import format_value
from hamipose.skeletons import Skeleton

__all__ = ["ExternalPrediction", "match_predictions", "orient_predictions", "read_predictions"]


@dataclass(frozen=True)
class ExternalPrediction:
    """The prediction of one person.

    Attributes:
        image: file name of the image, or its id in a list of results.
        keypoints_px: positions in pixels of the image, in the skeleton's order; NaN for keypoints without a prediction.
        score: confidence of the person.
        size: width and height of the image as stated in the file.
        upright: whether pixels are those of the upright image, as stated in the file.
    """

    image: Identifier
    keypoints_px: Float[np.ndarray, "keypoint 2"]
    score: float
    size: tuple[int, int] | None = None
    upright: bool | None = None


def read_predictions(
    path: Path,
    skeleton: Skeleton,
    names: Sequence[str] | None = None,
    categories: Sequence[CocoCategory] = (),
) -> list[ExternalPrediction]:
    """Return the people of a COCO results list, or of a file that `predict` writes.

    The third number of a keypoint is a confidence and is ignored. Skipped records are logged.

    Args:
        path: path of the file.
        skeleton: order of the returned keypoints.
        names: order of the keypoints in a file that does not name them; takes precedence over `categories`.
        categories: categories of the data set's annotation file, with the keypoint order of each.

    Raises:
        UserError: the file has another format, or contains no usable person.
    """
    file = read_coco(path, "predictions")
    known = () if names is not None else categories
    order = skeleton.keypoints if names is None else tuple(names)
    people = file.people_with_keypoints(skeleton.keypoints, order, known, unlabeled=True)
    if not people:
        reasons = f" (skipped {file.skipped.describe()})" if file.skipped.by_reason else ""
        raise UserError(
            f"predictions {path} contain no usable people{reasons}; each needs image_id, keypoints and score, and the "
            "order of the keypoints in the categories or by --keypoints"
        )
    file.skipped.warn()
    return [_to_prediction(person, skeleton, file.upright) for person in people]


def _to_prediction(person: CocoPerson, skeleton: Skeleton, upright: bool | None) -> ExternalPrediction:
    assert person.keypoints is not None
    own = person.keypoints
    rows = {name: row for name, row, placed in zip(own.names, own.px, own.has_position, strict=True) if placed}
    absent = np.full(2, np.nan)
    return ExternalPrediction(
        image=person.image_name,
        keypoints_px=np.array([rows.get(name, absent) for name in skeleton.keypoints], np.float64),
        score=1.0 if person.score is None else person.score,
        size=None if person.image is None else person.image.size,
        upright=upright,
    )


def match_predictions(
    predictions: Sequence[ExternalPrediction], names: Sequence[str], image_ids: Mapping[Identifier, str] | None = None
) -> list[ExternalPrediction]:
    """Return the prediction for each sample of a data set.

    Images are matched by id if the data set has an annotation file, else by file name, see
    :func:`hamipose.io.image_names.match_images`. A number is the one at the end of the file name (1001 for im1001.jpg),
    or else the position in the set. For an image with one person, the prediction with the best score is used; for
    several people, the k-th prediction belongs to the k-th person.

    Args:
        predictions: the predicted people.
        names: names of the samples: a path, and ``#`` with the person's id if an image may show several people.
        image_ids: id → image of the data set's annotation file.

    Raises:
        UserError: an image has no prediction, or its number of predictions differs from its number of people.
    """
    samples: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        samples.setdefault(re.sub(r"#\d+$", "", name), []).append(position)
    files = _match_files(predictions, list(samples), image_ids)
    people: dict[str, list[ExternalPrediction]] = {}
    unmatched = 0
    for person in predictions:
        file = files.get(person.image)
        unmatched += file is None
        if file is not None:
            people.setdefault(file, []).append(person)
    missing = [file for file in samples if file not in people]
    if missing:
        others = f"; {unmatched} predictions are for other images" if unmatched else ""
        raise UserError(
            f"{len(missing)} of {len(samples)} images have no prediction, first {Path(missing[0]).name}{others}; "
            "every image of the data set needs one"
        )
    result: dict[int, ExternalPrediction] = {}
    for file, positions in samples.items():
        own = people[file]
        if len(positions) == 1:
            own = [max(own, key=lambda person: person.score)]
        if len(own) != len(positions):
            raise UserError(
                f"{Path(file).name} has {len(positions)} labeled people and {len(own)} predictions; expected as many, "
                "in the same order"
            )
        result.update(zip(positions, own, strict=True))
    return [result[position] for position in range(len(names))]


def _match_files(
    predictions: Sequence[ExternalPrediction], files: list[str], image_ids: Mapping[Identifier, str] | None
) -> dict[Identifier, str]:
    """Return the data set's image for each id or name of the predictions.

    Raises:
        UserError: a name matches several images.
    """
    wanted = list(dict.fromkeys(person.image for person in predictions))
    by_id = {key: image_ids[key] for key in wanted if key in image_ids} if image_ids is not None else {}
    known = set(files)
    result = {key: path for key, path in by_id.items() if path in known}
    rest = [key for key in wanted if key not in by_id]
    if image_ids is not None:
        rest = [key for key in rest if isinstance(key, str)]
    numbers = [key for key in rest if isinstance(key, int)]
    ends = [re.search(r"(\d+)$", Path(file).stem) for file in files]
    if numbers and not (all(ends) and len({int(end[1]) for end in ends if end}) == len(files)):
        result.update({key: files[key] for key in numbers if 0 <= key < len(files)})
        rest = [key for key in rest if isinstance(key, str)]
    matches = match_images({key: key for key in rest}, files)
    if matches.ambiguous:
        name, several = next(iter(matches.ambiguous.items()))
        raise UserError(
            f"the prediction for {format_value(name)} matches {' or '.join(several[:2])}; give their folders"
        )
    return {**result, **matches.found}


def orient_predictions(
    predictions: Sequence[ExternalPrediction], names: Sequence[str], is_upright: Sequence[bool], source: Path
) -> list[ExternalPrediction]:
    """Return predictions in the pixels of the samples, for images with an orientation tag.

    A list of results does not state its pixels; those of the data set are assumed.

    Args:
        predictions: one per sample.
        names: names of the samples.
        is_upright: whether the image of a sample is shown upright, as its tag says.
        source: the file of the predictions.

    Raises:
        UserError: the predictions were made for an image of another size.
    """
    result = []
    for person, name, upright in zip(predictions, names, is_upright, strict=True):
        path = re.sub(r"#\d+$", "", name)
        header = None if person.size is None and person.upright is None else read_image_header(path)
        if header is not None:
            theirs = is_annotated_upright(path, header, person.size, person.upright, source)
            if theirs != upright and header.orientation != 1:
                points = orient_points(person.keypoints_px, header, back=theirs)
                person = replace(person, keypoints_px=points)
        result.append(person)
    return result

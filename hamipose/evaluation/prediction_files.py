"""Read anyone's predicted keypoints from COCO files, and match them with the people of a data set."""

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

__all__ = ["Found", "in_frames", "matched", "read_predictions"]


@dataclass(frozen=True)
class Found:
    """One predicted person.

    Attributes:
        image: the picture's file name, or its id in a list of results.
        keypoints_px: positions in pixels of the picture, in the skeleton's order; NaN where there is none.
        score: how sure the system is of the person.
        size: width and height of the picture as the file states them.
        upright: whether pixels are those of the upright picture, as the file declares.
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
) -> list[Found]:
    """Return the people of a COCO results list, or of a file that `predict` writes.

    Positions count whatever their third number says: it is a confidence. What is skipped is logged.

    Args:
        path: of the file.
        skeleton: order of what is returned.
        names: of the keypoints in order, for a file that does not name them; these take precedence over `categories`.
        categories: of the data set's annotation file, which tell a list of results the order of each category.

    Raises:
        UserError: it is not such a file, or no person in it can be used.
    """
    file = read_coco(path, "predictions")
    known = () if names is not None else categories
    order = skeleton.keypoints if names is None else tuple(names)
    people = file.people_with_keypoints(skeleton.keypoints, order, known, unlabeled=True)
    if not people:
        reasons = f" (skipped {file.skipped.reasons()})" if file.skipped.by_reason else ""
        raise UserError(
            f"predictions {path} hold no people that can be used{reasons}; expected image_id, keypoints and score of "
            "each, and their order in the categories or by --keypoints"
        )
    file.skipped.warn()
    return [_found(person, skeleton, file.upright) for person in people]


def _found(person: CocoPerson, skeleton: Skeleton, upright: bool | None) -> Found:
    assert person.keypoints is not None
    own = person.keypoints
    rows = {name: row for name, row, placed in zip(own.names, own.px, own.placed, strict=True) if placed}
    nothing = np.full(2, np.nan)
    return Found(
        image=person.image_name,
        keypoints_px=np.array([rows.get(name, nothing) for name in skeleton.keypoints], np.float64),
        score=1.0 if person.score is None else person.score,
        size=None if person.image is None else person.image.size,
        upright=upright,
    )


def matched(
    found: Sequence[Found], names: Sequence[str], image_ids: Mapping[Identifier, str] | None = None
) -> list[Found]:
    """Return the prediction for each sample of a data set.

    Pictures are matched by id, where the data set has an annotation file; else by file name, see
    :func:`hamipose.io.image_names.match_images`; a number is that at the end of the file's name (1001 for
    im1001.jpg), else the position in the set. Where a picture shows one person, the prediction with the best score
    counts; where it shows several, the k-th prediction is the k-th person's.

    Args:
        found: people predicted.
        names: of the samples: a path, and ``#`` with the person's id where a picture may show several.
        image_ids: id → picture of the data set's annotation file.

    Raises:
        UserError: a picture has no prediction, or another number of people than the data set.
    """
    samples: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        samples.setdefault(re.sub(r"#\d+$", "", name), []).append(position)
    where = _pictures(found, list(samples), image_ids)
    people: dict[str, list[Found]] = {}
    strange = 0
    for person in found:
        file = where.get(person.image)
        strange += file is None
        if file is not None:
            people.setdefault(file, []).append(person)
    lacking = [file for file in samples if file not in people]
    if lacking:
        unknown = f"; {strange} predictions are of images that it does not have" if strange else ""
        raise UserError(
            f"{len(lacking)} of {len(samples)} images have no prediction, {Path(lacking[0]).name} the first{unknown}; "
            "expected one for every image of the data set"
        )
    result: dict[int, Found] = {}
    for file, positions in samples.items():
        own = people[file]
        if len(positions) == 1:
            own = [max(own, key=lambda person: person.score)]
        if len(own) != len(positions):
            raise UserError(
                f"{Path(file).name} shows {len(positions)} labeled people and has {len(own)} predictions; "
                "expected as many, in the same order"
            )
        result.update(zip(positions, own, strict=True))
    return [result[position] for position in range(len(names))]


def _pictures(
    found: Sequence[Found], files: list[str], image_ids: Mapping[Identifier, str] | None
) -> dict[Identifier, str]:
    """Return the data set's picture of each id or name among the predictions.

    Raises:
        UserError: a name could be several pictures.
    """
    wanted = list(dict.fromkeys(person.image for person in found))
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
            f"the prediction for {format_value(name)} could be of {' or '.join(several[:2])}; give their folders"
        )
    return {**result, **matches.found}


def in_frames(found: Sequence[Found], names: Sequence[str], turned: Sequence[bool], source: Path) -> list[Found]:
    """Return predictions in the pixels of the samples, of pictures with an orientation tag.

    A list of results does not say in which pixels it is; they are taken for those of the data set.

    Args:
        found: one per sample.
        names: of the samples.
        turned: whether a sample's picture is turned as its tag says.
        source: the file of the predictions.

    Raises:
        UserError: the predictions were made for a picture of another size.
    """
    result = []
    for person, name, upright in zip(found, names, turned, strict=True):
        path = re.sub(r"#\d+$", "", name)
        header = None if person.size is None and person.upright is None else read_image_header(path)
        if header is not None:
            theirs = is_annotated_upright(path, header, person.size, person.upright, source)
            if theirs != upright and header.orientation != 1:
                points = orient_points(person.keypoints_px, header, back=theirs)
                person = replace(person, keypoints_px=points)
        result.append(person)
    return result

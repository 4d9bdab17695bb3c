"""What the page says to a file: one sentence, pictures and tables for each model, or what is wrong with the file."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hamipose.app.inference import Found, Row, compare, look_at
from hamipose.errors import UserError
from hamipose.inference.predictor import Predictor
from hamipose.models.person_detection import PersonDetector

__all__ = ["Answer", "answer"]


@dataclass(frozen=True)
class Answer:
    """What is shown.

    Attributes:
        message: one sentence.
        pictures: one a model; none where nothing was found.
        clips: one a model, of a clip; else none.
        tables: rows of each model.
        comparison: rows of two models; else none.
    """

    message: str
    pictures: list[UInt8[np.ndarray, "height width 3"]]
    clips: list[Path]
    tables: list[list[Row]]
    comparison: list[tuple[str, float, float, float]]


def _sentence(found: list[Found], min_confidence: float) -> str:
    drawn = [f"{sum(row[3] >= least for row in each.rows)} of {len(each.rows)}" for each in found]
    sure = f"Confidence is {min_confidence:g} or more for {' and '.join(drawn)} keypoints."
    if found[0].clip is None:
        return sure if found[0].people == 1 else f"{found[0].people} people. {sure}"
    cut = " (the clip goes on; start the page with a larger --limit for more)" if found[0].more else ""
    return f"{found[0].frames} frames{cut}. Tables are means over all people in them. {sure}"


def answer(
    models: list[Predictor],
    path: str | None,
    min_confidence: float,
    folder: Path,
    limit: int = 300,
    detector: PersonDetector | None = None,
) -> Answer:
    """All models at one file. A file that cannot be used is no error here: the message says what is wrong with it.

    Args:
        models: one or two.
        path: the file that was dropped; None where there is none.
        min_confidence: keypoints with less confidence are not drawn.
        folder: where drawn clips go, each file in a folder of its own.
        limit: of a clip, look at this many frames.
        detector: finds the people, see :func:`hamipose.app.inference.look_at`.
    """
    if path is None:
        return Answer("Drop a photo or a clip.", [], [], [], [])
    try:
        found = [
            look_at(
                model,
                Path(path),
                Path(tempfile.mkdtemp(dir=folder)),
                detector=detector if model.finds_people else None,
                min_confidence=min_confidence,
                limit=limit,
            )
            for model in models
        ]
    except (UserError, OSError) as error:  # such as a full disk
        return Answer(f"This file cannot be used: {error}", [], [], [], [])
    return Answer(
        _sentence(found, min_confidence),
        [each.picture for each in found],
        [each.clip for each in found if each.clip is not None],
        [each.rows for each in found],
        compare(found[0].rows, found[1].rows) if len(found) == 2 else [],
    )

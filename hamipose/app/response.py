"""Responses to files: a message, images and tables of each model, or an explanation of what is wrong with the file."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hamipose.app.inference import InferenceResult, Row, compare_rows, run_model
from hamipose.errors import UserError
from hamipose.inference.predictor import Predictor
from hamipose.models.person_detection import PersonDetector

__all__ = ["Response", "respond"]


@dataclass(frozen=True)
class Response:
    """Response to a file.

    Attributes:
        message: one sentence.
        images: one per model; empty if the file is unusable.
        clips: one per model for a clip; else empty.
        tables: rows of each model.
        comparison: comparison of two models; else empty.
    """

    message: str
    images: list[UInt8[np.ndarray, "height width 3"]]
    clips: list[Path]
    tables: list[list[Row]]
    comparison: list[tuple[str, float, float, float]]


def _sentence(results: list[InferenceResult], min_confidence: float) -> str:
    counts = [f"{sum(row[3] >= min_confidence for row in each.rows)} of {len(each.rows)}" for each in results]
    confident = f"Confidence is {min_confidence:g} or more for {' and '.join(counts)} keypoints."
    if results[0].clip is None:
        return confident if results[0].people == 1 else f"{results[0].people} people. {confident}"
    cut = " (the clip is longer; start the page with a larger --limit for more)" if results[0].more else ""
    return f"{results[0].frames} frames{cut}. Tables are means over all people in them. {confident}"


def respond(
    models: list[Predictor],
    path: str | None,
    min_confidence: float,
    folder: Path,
    limit: int = 300,
    detector: PersonDetector | None = None,
) -> Response:
    """Run all models on a file. For an unusable file, the message explains the problem.

    Args:
        models: one or two models.
        path: the uploaded file, if any.
        min_confidence: keypoints of lower confidence are not drawn.
        folder: output folder for drawn clips; each file gets a subfolder.
        limit: maximum number of frames of a clip.
        detector: person detector, see :func:`hamipose.app.inference.run_model`.
    """
    if path is None:
        return Response("Drop a photo or a clip.", [], [], [], [])
    try:
        results = [
            run_model(
                model,
                Path(path),
                Path(tempfile.mkdtemp(dir=folder)),
                detector=detector if model.predicts_bodies else None,
                min_confidence=min_confidence,
                limit=limit,
            )
            for model in models
        ]
    except (UserError, OSError) as error:  # such as a full disk
        return Response(f"This file cannot be used: {error}", [], [], [], [])
    return Response(
        _sentence(results, min_confidence),
        [each.image for each in results],
        [each.clip for each in results if each.clip is not None],
        [each.rows for each in results],
        compare_rows(results[0].rows, results[1].rows) if len(results) == 2 else [],
    )

"""What `predict`, `adapt` and `app` do by default: how they find people, and how often they look at each."""

from hamipose.inference import people as detecting
from hamipose.inference.predictor import Predictor
from hamipose.models.person_detection import PersonDetector
from hamipose.models.pretrained.catalog import BLAZEPOSE, detector_fetched

__all__ = ["NO_DETECTOR", "PASSES", "default_detector", "look_twice"]

#: What `--detector` is given where each picture is to be shown as a whole.
NO_DETECTOR = "none"

#: Looks at each person with a network that has no number of its own: the second at a crop about the keypoints of the
#: first. docs/adapt.md has what it gained on built-in people.
PASSES = 2


def look_twice(model: Predictor) -> Predictor:
    """Give a model that was opened without a number of passes the default one, and return it."""
    model.passes = max(model.passes, PASSES)
    return model


def default_detector(threshold: float | None = None) -> tuple[PersonDetector | None, str]:
    """Return the detector to use, None if there is none, and a line that says so.

    Args:
        threshold: as for :func:`hamipose.inference.people.open_detector`.
    """
    if detector_fetched():
        detector = detecting.open_detector(BLAZEPOSE.name, threshold)
        return detector, f"people are found by {detector.name}; --detector {NO_DETECTOR} uses whole pictures"
    return None, (
        "one person is looked for in each whole picture: there is no person detector; python -m hamipose models fetch "
        f"{BLAZEPOSE.name} downloads one ({BLAZEPOSE.size_mb} MB)"
    )

import numpy as np
import pytest

from hamipose.errors import UserError
from hamipose.inference.detection import DetectedPeople, open_detector
from hamipose.models.person_detection import PersonDetector
from hamipose.types import UnlabeledSample


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_invalid_threshold_is_rejected(threshold: float):
    with pytest.raises(UserError, match="between 0 and 1"):
        open_detector("torchvision", threshold)


class Finder(PersonDetector):
    """Finds one rotated person in images that are not black."""

    name, threshold = "finder", 0.5

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self.crops(image)[:, :5]

    def crops(self, image: np.ndarray, margin: float = 1.25) -> np.ndarray:
        rows = [[100, 60, 100, 100, 0.9, 30]] if image.any() else []
        return np.array(rows, np.float32).reshape(-1, 6)


def test_images_without_people_are_used_as_whole_images():
    samples = [
        UnlabeledSample(np.full((240, 320, 3), gray, np.uint8), np.array([0, 0, 320, 240], np.float32), name)
        for gray, name in ((90, "a.png"), (0, "b.png"))
    ]
    people = DetectedPeople(samples, Finder(), upright_crops=True, whole_images=True)
    found = list(people)
    assert [(p.name, p.rotation_deg, p.box_px.tolist()) for p in found] == [
        ("a.png#0", 30.0, [100, 60, 100, 100]),
        ("b.png#0", 0.0, [0, 0, 320, 240]),
    ]
    assert str(people.summary).endswith("images without people (used as whole images): 1")
    assert [p.name for p in DetectedPeople(samples, Finder())] == ["a.png#0"]

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


class UprightFinder(PersonDetector):
    """Finds a red spot that is above a green one, as a square around the middle of both."""

    name, threshold = "upright", 0.5

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self.crops(image)[:, :5]

    def crops(self, image: np.ndarray, margin: float = 1.25) -> np.ndarray:
        points = [np.argwhere(image[..., channel])[:, ::-1].mean(0) + 0.5 for channel in (0, 1)]
        x, y = np.mean(points, 0)
        far_x, far_y = points[0] - points[1]
        score = 1 - abs(far_x) / 40
        rows = [[x - 30, y - 25, 60, 50, score, np.rad2deg(np.arctan2(far_x, -far_y))]] if far_y < 0 else []
        return np.array(rows, np.float32).reshape(-1, 6)


@pytest.mark.parametrize("turn_deg", [90.0, 120.0, 180.0, 230.0, 270.0])
def test_person_upside_down_is_detected_in_the_rotated_image(turn_deg: float):
    """Whatever the rotation, the box is centered on the person, and its rotation is the person's."""
    image = np.zeros((200, 300, 3), np.uint8)
    center, turn = np.array([180.0, 70.0]), np.deg2rad(turn_deg)
    above = 20 * np.array([np.sin(turn), -np.cos(turn)])
    for channel, (x, y) in enumerate((center + above, center - above)):
        image[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2, channel] = 255
    sample = UnlabeledSample(image, np.array([0, 0, 300, 200], np.float32), "a.png")
    (person,) = DetectedPeople([sample], UprightFinder(), upright_crops=True, whole_images=True)
    np.testing.assert_allclose(person.box_px[:2] + person.box_px[2:] / 2, center + 0.5, atol=0.6)
    assert person.rotation_deg % 360 == pytest.approx(turn_deg, abs=2)
    assert sorted(person.box_px[2:]) == [50, 60]

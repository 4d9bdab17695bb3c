"""Contact sheets of data sets: people with their skeletons, as plain crops and as augmented views."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hamipose.data.base import KeypointDataset
from hamipose.data.datasets.prepared import open_split
from hamipose.data.views import PRESETS, Views, get_views
from hamipose.errors import UserError
from hamipose.geometry.affine import compose, crop_matrix
from hamipose.geometry.crops import labels_in_view
from hamipose.io.image_file import UnreadableImage, write_image
from hamipose.viz.drawing import draw_keypoints, draw_label, make_grid

__all__ = ["contact_sheet", "show"]


def contact_sheet(
    dataset: KeypointDataset, count: int, views: Views, augmented: int = 3, size: int = 256, seed: int = 0
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a row per person: the plain crop, then augmented views; the person's left is orange, right is blue.

    Args:
        dataset: the data set, from which people are drawn at random.
        count: number of people.
        views: augmentation.
        augmented: number of augmented views per person.
        size: side of each image in pixels.
        seed: random seed of people and views.

    Raises:
        UserError: the data set is empty.
        UnreadableImage: none of the chosen images can be read.
    """
    if len(dataset) == 0:
        raise UserError(f"data set {type(dataset).__name__} is empty; expected at least one person")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(dataset), min(count, len(dataset)), replace=False))
    images, unreadable = [], 0
    for index in chosen:
        try:
            sample = dataset[int(index)]
        except UnreadableImage as error:
            unreadable += 1
            if unreadable == len(chosen):
                raise
            images += [draw_label(np.full((size, size, 3), 64, np.uint8), str(error)[-40:])] * (1 + augmented)
            continue
        crop = crop_matrix(sample.box_px, size, sample.rotation_deg)
        for number in range(1 + augmented):
            view = (PRESETS["none"] if number == 0 else views).view(sample, size, rng)
            keypoints_px, visibility = labels_in_view(
                sample.keypoints_px,
                sample.visibility,
                compose(view.matrix, crop),
                size,
                dataset.skeleton.mirror if view.mirrored else None,
            )
            drawn = draw_keypoints(view.image, keypoints_px, dataset.skeleton, visibility > 0)
            name = Path(sample.name).name
            text = f"{index}: {name}" if number == 0 else f"{'mirrored ' if view.mirrored else ''}view {number}"
            images.append(draw_label(drawn, text))
    return make_grid(images, 1 + augmented)


def show(
    name: str,
    root: str,
    out: str,
    split: str = "train",
    protocol: str = "strict",
    count: int = 6,
    views: str = "hamipose",
    size: int = 256,
    seed: int = 0,
) -> Path:
    """Write a contact sheet of a raw or prepared set.

    Args:
        name: name in the catalog.
        root: folder of the data set.
        out: output file, .png or .jpg.
        split: name of the split.
        protocol: "strict" or "paper".
        count: number of people.
        views: a preset of ``hamipose.data.views``.
        size: side of each image in pixels.
        seed: random seed of people and views.

    Returns:
        The output file.

    Raises:
        UserError: the data set does not exist, or the file cannot be written.
    """
    for what, value in (("count", count), ("size", size)):
        if value < 1:
            raise UserError(f"{what} is {value}, expected at least 1")
    path = Path(out)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"--out is {out}, expected a file that ends in .png or .jpg")
    augmentation = get_views(views)
    dataset = open_split(name, root, split, protocol)
    dataset.prepare()
    sheet = contact_sheet(dataset, count, augmentation, size=size, seed=seed)
    write_image(path, sheet)
    return path

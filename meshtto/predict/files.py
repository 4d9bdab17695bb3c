"""Write recovered people to files: meshes (OBJ, GLB), numbers (NPZ, JSON), images (PNG, MP4)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8

from hamipose.io.atomic_file import atomic_path, write_text
from hamipose.io.image_file import write_image
from hamipose.io.video import VideoWriter
from meshtto.predict.drawing import overlay, side_view
from meshtto.predict.frames import Frame
from meshtto.predict.recover import Person

__all__ = ["Files", "ImageFiles", "VideoFiles", "to_y_up", "write_mesh", "write_png"]


def to_y_up(vertices_m: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]) -> trimesh.Trimesh:
    """Return a mesh with y up, as viewers expect: camera axes rotated by 180° about x."""
    return trimesh.Trimesh(vertices_m * np.array([1.0, -1.0, -1.0]), faces, process=False)


def write_mesh(
    stem: Path, vertices_m: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"], diverged: bool = False
) -> tuple[Path, Path]:
    """Write STEM.obj and STEM.glb in meters, y up.

    Args:
        stem: path without extension.
        vertices_m: in camera axes.
        faces: triangles.
        diverged: whether adaptation diverged; stated in the OBJ's first line and in the GLB's extras.
    """
    mesh = to_y_up(vertices_m, faces)
    mesh.metadata["diverged"] = diverged
    paths = (stem.with_name(stem.name + ".obj"), stem.with_name(stem.name + ".glb"))
    with atomic_path(paths[0]) as beside:
        mesh.export(beside, header=f"diverged: {str(diverged).lower()}")
    with atomic_path(paths[1]) as beside:
        mesh.export(beside)
    return paths


def _small(arrays: dict[str, np.ndarray], facts: dict[str, Any], most: int) -> dict[str, Any]:
    """Return arrays of at most `most` numbers for JSON, except those in `facts`."""
    return {k: v.round(6).tolist() for k, v in arrays.items() if v.size <= most and k not in facts}


def _write_numbers(stem: Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> tuple[Path, Path]:
    """Write STEM.npz with all arrays, and STEM.json with the small ones and their meaning."""
    paths = (stem.with_name(stem.name + ".npz"), stem.with_name(stem.name + ".json"))
    with atomic_path(paths[0]) as beside:
        np.savez_compressed(beside, **arrays)  # type: ignore[arg-type]
    write_text(paths[1], json.dumps({**facts, **_small(arrays, facts, 216)}, indent=1) + "\n")
    return paths


def write_png(path: Path, image: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write an RGB image; see :func:`hamipose.io.image_file.write_image`."""
    write_image(path, image)


class Files:
    """Writes the files that images and video frames have in common.

    Args:
        out: output folder.
        faces: triangles of the body.
        images: whether to write overlays and side views as PNG.
        meshes: whether to write OBJ and GLB.
    """

    def __init__(self, out: Path, faces: Int[np.ndarray, "face 3"], images: bool, meshes: bool):
        self.out = out
        self.faces = faces
        self.images = images
        self.meshes = meshes

    def stem(self, frame: Frame, person: Person) -> Path:
        """Return the common prefix of a person's files."""
        return self.out / f"{frame.stem}-{person.number}"

    def overlay(self, frame: Frame, people: list[Person]) -> UInt8[np.ndarray, "height width 3"]:
        """Draw all people on an image; those whose adaptation diverged are gray."""
        return overlay(frame.image, [person.figure for person in people], self.faces)

    def write(self, frame: Frame, people: list[Person], drawn: UInt8[np.ndarray, "height width 3"]) -> None:
        """Write meshes and PNG files, as far as requested."""
        for person in people:
            stem = self.stem(frame, person)
            if self.meshes:
                write_mesh(stem, person.vertices_m, self.faces, bool(person.facts["diverged"]))
            if self.images:
                write_png(stem.with_name(stem.name + "-side.png"), side_view(person.vertices_m, self.faces))
        if self.images and people:
            write_png(self.out / f"{frame.stem}-overlay.png", drawn)


class ImageFiles:
    """Writes the files of separate images: overlay, and side view, mesh, NPZ and JSON of each person.

    Args:
        files: writes the files of one image.
    """

    def __init__(self, files: Files):
        self.files = files

    def __enter__(self) -> "ImageFiles":
        return self

    def __exit__(self, *error: object) -> None:
        pass  # everything is already written

    def add(self, frame: Frame, people: list[Person]) -> None:
        """Write the people of an image."""
        for person in people:  # numbers first: images may fill the disk
            _write_numbers(self.files.stem(frame, person), person.arrays, person.facts)
        self.files.write(frame, people, self.files.overlay(frame, people) if self.files.images else frame.image)


class VideoFiles:
    """Writes the files of a video: an overlay as MP4, one NPZ and one JSON of all frames, and the files of each frame.

    Each row of NPZ and JSON states whether this person's adaptation `diverged` in this frame; overlays show it in gray.
    Vertices are omitted from the NPZ, because they would be nine tenths of it: the body computes them from `rotations`
    and `shape`, and `translation_m` moves them to camera axes. This is a context manager: leaving it writes all results
    so far, also after an interruption.

    Args:
        files: writes the files of one frame.
        name: name of the video.
        rate: frames per second of the used frames.
        suffix: appended to the names of the files.

    Attributes:
        people: frame number and person, without vertices, in order.
    """

    def __init__(self, files: Files, name: str, rate: float, suffix: str = ""):
        self.files = files
        self.name = name
        self.stem = files.out / f"{Path(name).stem}{suffix}"
        self.rate = rate
        self._video = VideoWriter(self.stem.with_name(self.stem.name + "-overlay.mp4"), rate)
        self.people: list[tuple[int, Person]] = []

    def __enter__(self) -> "VideoFiles":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self.people:
                self._write()
        finally:  # a failed video has removed its file, which leaves space for the numbers
            self._video.__exit__(*error)

    def add(self, frame: Frame, people: list[Person]) -> None:
        """Draw a frame with its people; frames without people are added unchanged."""
        for person in people:
            kept = {k: v for k, v in person.arrays.items() if k != "vertices_m"}
            assert frame.number is not None
            self.people.append((frame.number, Person(person.number, person.vertices_m[:0], kept, person.facts)))
        drawn = self.files.overlay(frame, people)
        self._video.add(drawn)
        self.files.write(frame, people, drawn)

    def _write(self) -> None:
        arrays = {name: np.stack([p.arrays[name] for _, p in self.people]) for name in self.people[0][1].arrays}
        arrays["frame"] = np.array([frame for frame, _ in self.people])
        arrays["person"] = np.array([person.number for _, person in self.people])
        with atomic_path(self.stem.with_name(self.stem.name + ".npz")) as beside:
            np.savez_compressed(beside, **arrays)  # type: ignore[arg-type]
        rows = []
        for frame, person in self.people:
            own = {k: person.facts[k] for k in ("steps", "diverged", "losses")}
            small = _small(person.arrays, own, 98)
            rows.append(json.dumps({"frame": frame, "person": person.number, **own, **small}))
        common = {k: self.people[0][1].facts[k] for k in ("body", "axes", "pose_is")}
        head = json.dumps({"video": self.name, "frames_per_second": round(self.rate, 3), **common})
        lines = ",\n  ".join(rows)
        path = self.stem.with_name(self.stem.name + ".json")
        write_text(path, f'{head[:-1]}, "people": [\n  {lines}\n]}}\n')

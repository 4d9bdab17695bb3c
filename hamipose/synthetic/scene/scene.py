"""Content of an image as plain arrays: camera, lights, solids, materials, background and the posed surface."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

__all__ = ["PATTERNS", "SOLIDS", "Camera", "Lights", "Materials", "Scene", "Solids"]

#: Patterns of a material with two colors; the renderer uses their positions.
PATTERNS = ("plain", "rings", "stripes", "checks", "dots", "blots", "tartan", "planks", "bricks", "grain", "flowers")
#: Shapes of solids; the renderer uses their positions. Each shape fills [-1, 1]^3 in its own frame.
SOLIDS = ("box", "ellipsoid", "cylinder")


@dataclass
class Camera:
    """Pinhole camera with axes x right, y down, z forward. The center of the first pixel is (0, 0).

    Attributes:
        position_m: position in the world.
        rotation: rotation from world axes to camera axes.
        focal_px: focal length of both axes; the principal point is the center of the image.
        size: height and width of the image in pixels.
    """

    position_m: Float[np.ndarray, "3"]
    rotation: Float[np.ndarray, "3 3"]
    focal_px: float
    size: tuple[int, int]

    @property
    def intrinsics(self) -> Float[np.ndarray, "3 3"]:
        """Return the matrix K with pixel ~ K · point."""
        height, width = self.size
        return np.array([[self.focal_px, 0, (width - 1) / 2], [0, self.focal_px, (height - 1) / 2], [0, 0, 1.0]])

    def to_camera(self, points_m: Float[np.ndarray, "*point 3"]) -> Float[np.ndarray, "*point 3"]:
        """Convert world coordinates to camera coordinates, both in meters."""
        return (points_m - self.position_m) @ self.rotation.T

    def project(self, points_m: Float[np.ndarray, "*point 3"]) -> Float[np.ndarray, "*point 2"]:
        """Project world coordinates in meters to pixels."""
        pixel = self.to_camera(points_m) @ self.intrinsics.T
        return pixel[..., :2] / np.maximum(pixel[..., 2:], 1e-6)


@dataclass
class Lights:
    """Distant lights.

    Attributes:
        towards: unit vectors to the lights.
        color: colors in linear RGB.
        spread: tangent of each light's angular radius; 0 casts hard shadows.
        sky, floor: ambient light from above and below, in linear RGB.
        shade_m: distance within which other surfaces block ambient light; 0 disables ambient occlusion.
    """

    towards: Float[np.ndarray, "light 3"]
    color: Float[np.ndarray, "light 3"]
    spread: Float[np.ndarray, " light"]
    sky: Float[np.ndarray, "3"]
    floor: Float[np.ndarray, "3"]
    shade_m: float = 0.0


@dataclass
class Materials:
    """Table of materials with one row each; colors in sRGB.

    Attributes:
        first, second: the two colors of the pattern.
        pattern: index in `PATTERNS`.
        scale: periods of the pattern per meter.
        gloss: strength of the highlight.
        noise: relative standard deviation of the fine texture.
    """

    first: list = field(default_factory=list)
    second: list = field(default_factory=list)
    pattern: list = field(default_factory=list)
    scale: list = field(default_factory=list)
    gloss: list = field(default_factory=list)
    noise: list = field(default_factory=list)

    def add(self, first, second=None, pattern="plain", scale=1.0, gloss=0.0, noise=0.0) -> int:
        """Append a material, and return its row."""
        self.first.append(np.asarray(first, float))
        self.second.append(np.asarray(first if second is None else second, float))
        self.pattern.append(PATTERNS.index(pattern))
        self.scale.append(float(scale))
        self.gloss.append(float(gloss))
        self.noise.append(float(noise))
        return len(self.first) - 1


@dataclass
class Solids:
    """Boxes, ellipsoids and cylinders.

    Attributes:
        kind: index in `SOLIDS`.
        center_m: center in the world.
        frame: axes of the solid divided by its half sizes, as rows; a point p is inside a box if all components of
            frame · (p - center) are in [-1, 1].
        material: row in `Materials`.
    """

    kind: list[int] = field(default_factory=list)
    center_m: list[Float[np.ndarray, "3"]] = field(default_factory=list)
    frame: list[Float[np.ndarray, "3 3"]] = field(default_factory=list)
    material: list[int] = field(default_factory=list)

    def add(self, kind: str, center_m, axes: Float[np.ndarray, "3 3"], half_m, material: int) -> None:
        """Append a solid with unit axes as rows of `axes`, and half sizes `half_m`."""
        self.kind.append(SOLIDS.index(kind))
        self.center_m.append(np.asarray(center_m, float))
        self.frame.append(np.asarray(axes, float) / np.asarray(half_m, float)[:, None])
        self.material.append(material)


@dataclass
class Scene:
    """Everything that the renderer needs besides the triangles of the surface.

    Attributes:
        camera: camera.
        lights: lights.
        materials: materials of surface, solids and floor.
        solids: objects and accessories.
        background: background at infinity in linear RGB, of any size, shown behind the whole image.
        vertices_m: vertices of the surface with clothes and hair.
        normals: shading normals of the surface.
        blotch: slow relative variation of brightness over the surface.
        outfit: materials of the surface and their extent; see `clothing.OUTFIT_FIELDS`.
        ground_m: height of the floor; None for no floor.
        ground_material: row in `materials`.
        seed: seed of all random numbers of rays.
    """

    camera: Camera
    lights: Lights
    materials: Materials
    solids: Solids
    background: Float[np.ndarray, "height width 3"]
    vertices_m: Float[np.ndarray, "vertex 3"]
    normals: Float[np.ndarray, "vertex 3"]
    blotch: Float[np.ndarray, " vertex"]
    outfit: Float[np.ndarray, " setting"]
    ground_m: float | None = None
    ground_material: int = 0
    seed: int = 0

"""What a picture shows besides the body, as plain arrays: camera, lights, solids, materials, the far background."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

__all__ = ["PATTERNS", "SOLIDS", "Camera", "Lights", "Materials", "Scene", "Solids"]

#: How a material varies between its two colors; positions are what the renderer knows.
PATTERNS = ("plain", "rings", "stripes", "checks", "dots", "blots", "tartan", "planks", "bricks", "grain", "flowers")
#: Shapes of solids; positions are what the renderer knows. Each fills [-1, 1]^3 of its own frame.
SOLIDS = ("box", "ellipsoid", "cylinder")


@dataclass
class Camera:
    """A pinhole camera. Its axes: x to the image's right, y down, z forward. First pixel's center: (0, 0).

    Attributes:
        position_m: in the world.
        rotation: carries world directions into camera directions.
        focal_px: the same for x and y; the principal point is the middle of the image.
        size: height and width of the image in pixels.
    """

    position_m: Float[np.ndarray, "3"]
    rotation: Float[np.ndarray, "3 3"]
    focal_px: float
    size: tuple[int, int]

    @property
    def intrinsics(self) -> Float[np.ndarray, "3 3"]:
        """The matrix K with pixel ~ K · point."""
        height, width = self.size
        return np.array([[self.focal_px, 0, (width - 1) / 2], [0, self.focal_px, (height - 1) / 2], [0, 0, 1.0]])

    def to_camera(self, points_m: Float[np.ndarray, "*point 3"]) -> Float[np.ndarray, "*point 3"]:
        """World meters → meters in the camera's axes."""
        return (points_m - self.position_m) @ self.rotation.T

    def project(self, points_m: Float[np.ndarray, "*point 3"]) -> Float[np.ndarray, "*point 2"]:
        """World meters → pixels."""
        pixel = self.to_camera(points_m) @ self.intrinsics.T
        return pixel[..., :2] / np.maximum(pixel[..., 2:], 1e-6)


@dataclass
class Lights:
    """Distant lights.

    Attributes:
        towards: unit vectors to the lights.
        color: linear RGB.
        spread: tangent of each light's angular radius; 0 casts hard shadows.
        sky, floor: ambient light from above and below, linear RGB.
        shade_m: within this distance other surfaces block ambient light; 0: they never do.
    """

    towards: Float[np.ndarray, "light 3"]
    color: Float[np.ndarray, "light 3"]
    spread: Float[np.ndarray, " light"]
    sky: Float[np.ndarray, "3"]
    floor: Float[np.ndarray, "3"]
    shade_m: float = 0.0


@dataclass
class Materials:
    """One row a material, colors in sRGB.

    Attributes:
        first, second: the two colors between which the pattern changes.
        pattern: position in `PATTERNS`.
        scale: periods of the pattern per meter.
        gloss: strength of the highlight.
        noise: standard deviation of fine texture, relative.
    """

    first: list = field(default_factory=list)
    second: list = field(default_factory=list)
    pattern: list = field(default_factory=list)
    scale: list = field(default_factory=list)
    gloss: list = field(default_factory=list)
    noise: list = field(default_factory=list)

    def add(self, first, second=None, pattern="plain", scale=1.0, gloss=0.0, noise=0.0) -> int:
        """Appends a material and returns its row."""
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
        kind: position in `SOLIDS`.
        center_m: in the world.
        frame: row i is the solid's i-th axis divided by its half size, so a point p is inside where all of
            frame · (p - center) lie in [-1, 1] (box).
        material: row of `Materials`.
    """

    kind: list[int] = field(default_factory=list)
    center_m: list[Float[np.ndarray, "3"]] = field(default_factory=list)
    frame: list[Float[np.ndarray, "3 3"]] = field(default_factory=list)
    material: list[int] = field(default_factory=list)

    def add(self, kind: str, center_m, axes: Float[np.ndarray, "3 3"], half_m, material: int) -> None:
        """Appends a solid; `axes` holds its unit axes as rows, `half_m` its half sizes."""
        self.kind.append(SOLIDS.index(kind))
        self.center_m.append(np.asarray(center_m, float))
        self.frame.append(np.asarray(axes, float) / np.asarray(half_m, float)[:, None])
        self.material.append(material)


@dataclass
class Scene:
    """Everything the renderer needs beside the body's triangles.

    Attributes:
        ground_m: height of the floor; None: there is none.
        ground_material: row of `materials`.
        far: the background at infinity, linear RGB, of any size, shown over the whole image.
        skin_of_vertex: offset along the normal (clothes, hair), meters.
        normals: shading normals of the body.
        blotch: slow relative variation of brightness over the body.
        wardrobe: which material covers which part of the body up to where; see `outfits`.
        seed: for everything that is drawn per ray.
    """

    camera: Camera
    lights: Lights
    materials: Materials
    solids: Solids
    far: Float[np.ndarray, "height width 3"]
    vertices_m: Float[np.ndarray, "vertex 3"]
    normals: Float[np.ndarray, "vertex 3"]
    blotch: Float[np.ndarray, " vertex"]
    wardrobe: Float[np.ndarray, " setting"]
    ground_m: float | None = None
    ground_material: int = 0
    seed: int = 0

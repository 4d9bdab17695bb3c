"""The renderer: takes a scene and the body's mesh to warp, and brings a picture back."""

import itertools
import os
import sys
from functools import lru_cache, reduce
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from hamipose.synthetic.bodies import bodies
from hamipose.synthetic.scene import SOLIDS, Scene
from hamipose.synthetic.start_warp import start_warp
from hamipose.synthetic.surface import Surface

__all__ = ["Renderer", "renderer"]


class Renderer:
    """Casts rays at one body and its scene. The mesh is built once and refitted to every pose.

    Args:
        surface: triangles and constant facts of the body.
        device: warp's name of the device: ``"cpu"``, ``"cuda:0"``; None: the first GPU if there is one.
    """

    def __init__(self, surface: Surface, device: str | None = None):
        wp = start_warp()
        self._wp = wp
        self.device = device or ("cuda:0" if wp.is_cuda_available() else "cpu")
        if not any(name.startswith("wp_hamipose.synthetic.kernels") for name in _listdir(wp.config.kernel_cache_dir)):
            print("Compiling the renderer; this happens once and takes some seconds.", file=sys.stderr, flush=True)
        from hamipose.synthetic import kernels

        self._kernels, self._surface = kernels, surface
        wp.load_module(kernels, device=self.device)
        self._points = self._array(surface.rest_m, wp.vec3)
        self._mesh = wp.Mesh(points=self._points, indices=self._array(surface.faces.reshape(-1), wp.int32))
        self._corners = np.ascontiguousarray(surface.faces.T)
        self._face_part = self._array(surface.face_part, wp.int32)

    def _array(self, values: np.ndarray, dtype: Any) -> Any:
        kind = np.int32 if dtype is self._wp.int32 else np.float32
        return self._wp.array(np.ascontiguousarray(values, kind), dtype=dtype, device=self.device)

    def _rows(self, *rows: np.ndarray) -> Any:
        """Arrays of vectors, or of numbers (then followed by zeros), side by side."""
        filled = [np.pad(r[:, None], ((0, 0), (0, 2))) if r.ndim == 1 else r for r in rows]
        table = np.ascontiguousarray(np.stack(filled, 1), np.float32)
        return self._wp.array(table, dtype=self._wp.vec3, device=self.device)

    def load(self, scene: Scene) -> None:
        """Makes `scene` the one that rays are cast into."""
        wp = self._wp
        world: Any = self._kernels.World()
        vertices = np.ascontiguousarray(scene.vertices_m, np.float32)
        self._points.assign(vertices)
        self._mesh.refit()
        things: Any = self._kernels.Things()
        fields = np.stack([self._surface.along, self._surface.hair, scene.blotch], 1)
        world.face_part = self._face_part
        world.vertices = self._rows(scene.normals, self._surface.cloth_m, fields)
        world.wardrobe = self._array(scene.wardrobe, wp.float32)

        made = scene.materials
        finish = np.stack([made.scale, made.gloss, made.noise], 1)
        world.materials = self._rows(
            _linear(np.stack(made.first)), _linear(np.stack(made.second)), finish, np.array(made.pattern)
        )
        solids = scene.solids
        things.mesh, things.count = self._mesh.id, len(solids.kind)
        if things.count:
            frames, kind = np.stack(solids.frame), np.array(solids.kind)
            half = 1.0 / np.linalg.norm(frames, axis=2)
            radius = np.where(kind == SOLIDS.index("ellipsoid"), half.max(1), np.linalg.norm(half, axis=1))
            rest = np.stack([kind, radius, solids.material], 1)
            things.solids = self._rows(np.stack(solids.centre_m), *frames.swapaxes(0, 1), rest)

        lights = scene.lights
        world.light_count = len(lights.towards)
        world.lights = self._rows(lights.towards, lights.colour, lights.spread)
        world.sky, world.floor, world.shade_m = wp.vec3(*lights.sky), wp.vec3(*lights.floor), lights.shade_m

        low, high = scene.vertices_m.min(0), scene.vertices_m.max(0)
        things.body_centre = wp.vec3(*((low + high) / 2))
        things.body_radius = float(np.linalg.norm(scene.vertices_m - (low + high) / 2, axis=1).max()) + 1e-3
        world.things = things
        world.ground, world.ground_m = int(scene.ground_m is not None), scene.ground_m or 0.0
        world.ground_material = scene.ground_material
        camera = scene.camera
        world.eye = wp.vec3(*camera.position_m)
        world.axes = wp.mat33(*camera.rotation.reshape(-1))
        world.focal_px = camera.focal_px
        world.height, world.width = camera.size
        world.seed = scene.seed
        self._world, self._scene = world, scene

    def picture(self) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]]:
        """The picture in linear RGB, and the share of each pixel that shows the body."""
        wp, size = self._wp, self._scene.camera.size
        image = wp.empty(size, dtype=wp.vec3, device=self.device)
        mask = wp.empty(size, dtype=wp.float32, device=self.device)
        far = self._array(self._scene.far, wp.vec3)
        seen = self._array(self._seen(), wp.int32)
        wp.launch(self._kernels.render, dim=size, inputs=[self._world, far, seen, image, mask], device=self.device)
        return image.numpy(), mask.numpy()

    def _seen(self) -> Int[np.ndarray, "height width"]:
        """What may be seen in each pixel: the body (bit 0), solid k (bit k + 1; from the thirtieth on they share one).

        A thing is expected in every pixel that the rectangle around its projection touches: that of each triangle of
        the body, and that of the box that each solid fills.
        """
        scene = self._scene
        seen = _covered(*self._rectangles(scene.vertices_m, self._corners), scene.camera.size).astype(np.int32)
        box = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
        for k, (centre, frame) in enumerate(zip(scene.solids.centre_m, scene.solids.frame, strict=True)):
            low, high = self._rectangles(centre + box @ np.linalg.inv(frame).T, np.arange(8)[:, None])
            seen[low[1, 0] : high[1, 0] + 1, low[0, 0] : high[0, 0] + 1] |= 2 << min(k, 29)
        return seen

    def _rectangles(
        self, points_m: Float[np.ndarray, "point 3"], groups: Int[np.ndarray, "member group"]
    ) -> tuple[Int[np.ndarray, "2 group"], Int[np.ndarray, "2 group"]]:
        """The first and the last column and row that each group's convex hull may be seen in; all, if one is near."""
        camera = self._scene.camera
        sides = np.array(camera.size)[::-1, None]
        x, y, depth = camera.to_camera(points_m).T
        if depth.min() < 0.2:
            return np.zeros((2, groups.shape[1]), np.int32), np.tile((sides - 1).astype(np.int32), groups.shape[1])
        at = np.stack([x, y]) * (camera.focal_px / depth) + (sides - 1) / 2
        # Rays pass a quarter of a pixel from its centre; the rest is for their rounding.
        low = np.ceil(np.clip(at - 0.3, 0, sides)).astype(np.int32)
        high = np.floor(np.clip(at + 0.3, -1, sides - 1)).astype(np.int32)
        first, last = ([[side.take(member) for member in groups] for side in sides] for sides in (low, high))
        return np.array([reduce(np.minimum, m) for m in first]), np.array([reduce(np.maximum, m) for m in last])

    def first_hits(
        self, points_m: Float[np.ndarray, "point 3"]
    ) -> tuple[Float[np.ndarray, " point"], Int[np.ndarray, " point"]]:
        """What the ray from the camera to each point meets first: its distance, and the body part there (-1: none)."""
        wp, count = self._wp, len(points_m)
        distance = wp.empty(count, dtype=wp.float32, device=self.device)
        part = wp.empty(count, dtype=wp.int32, device=self.device)
        inputs = [self._world, self._array(points_m, wp.vec3), distance, part]
        wp.launch(self._kernels.first_hits, dim=count, inputs=inputs, device=self.device)
        return distance.numpy(), part.numpy()


def _covered(
    low: Int[np.ndarray, "2 rectangle"], high: Int[np.ndarray, "2 rectangle"], size: tuple[int, int]
) -> Bool[np.ndarray, "height width"]:
    """Which pixels any of the rectangles covers, by summing up where they begin and end."""
    some = (high >= low).all(0)
    (left, top), (right, bottom) = low[:, some], high[:, some] + 1
    height, row = size[0] + 1, size[1] + 1
    change = np.bincount(np.concatenate([top * row + left, bottom * row + right]), minlength=height * row)
    change -= np.bincount(np.concatenate([top * row + right, bottom * row + left]), minlength=height * row)
    return change.reshape(height, row)[:-1, :-1].cumsum(0).cumsum(1) > 0


def _linear(srgb: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    return np.clip(srgb, 0, 1) ** 2.2


def _listdir(folder: str | None) -> list[str]:
    return os.listdir(folder) if folder and os.path.isdir(folder) else []


@lru_cache(maxsize=2)
def renderer(device: str | None = None) -> Renderer:
    """The renderer of this process."""
    return Renderer(bodies(), device)

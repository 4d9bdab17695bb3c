"""The renderer: takes a scene and the body's mesh to warp, and brings a picture back."""

import itertools
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hamipose.start_warp import compile_kernels, start_warp
from hamipose.synthetic.bodies import bodies
from hamipose.synthetic.scene import SOLIDS, Scene
from hamipose.synthetic.surface import Surface, bounds, lengths

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
        from hamipose.synthetic import kernels, raster

        self._kernels, self._raster, self._surface = kernels, raster, surface
        compile_kernels(raster, kernels, what="the renderer", device=self.device)
        self._points = self._array(surface.rest_m, wp.vec3)
        corners = self._array(surface.faces.reshape(-1), wp.int32)
        self._mesh = wp.Mesh(points=self._points, indices=corners, bvh_leaf_size=2)
        # Rays that know their triangle look it up here. Its boxes are never asked for, so they need no refitting.
        faces = len(surface.faces)
        groups = self._array(np.arange(faces), wp.int32)
        self._singles = wp.Mesh(points=self._points, indices=corners, groups=groups)
        self._nodes = wp.empty(faces, dtype=wp.int32, device=self.device)
        wp.launch(raster.number, dim=faces, inputs=[self._singles.id, self._nodes], device=self.device)
        self._face_part = self._array(surface.face_part, wp.int32)
        self._vertices = np.zeros((len(surface.rest_m), 3, 3), np.float32)
        self._vertices[:, 1], self._vertices[:, 2, 0], self._vertices[:, 2, 1] = (
            surface.cloth_m,
            surface.along,
            surface.hair,
        )

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
        world.face_part = self._face_part
        self._vertices[:, 0], self._vertices[:, 2, 2] = scene.normals, scene.blotch
        world.vertices = wp.array(self._vertices, dtype=wp.vec3, device=self.device)
        world.wardrobe = self._array(scene.wardrobe, wp.float32)

        made = scene.materials
        finish = np.stack([made.scale, made.gloss, made.noise], 1)
        world.materials = self._rows(
            _linear(np.stack(made.first)), _linear(np.stack(made.second)), finish, np.array(made.pattern)
        )
        solids = scene.solids
        things.mesh, things.singles = self._mesh.id, self._singles.id
        things.count = len(solids.kind)
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

        low, high = bounds(scene.vertices_m)
        things.body_centre = wp.vec3(*((low + high) / 2))
        things.body_radius = float(lengths(scene.vertices_m - (low + high) / 2).max()) + 1e-3
        world.things = wp.array([things], dtype=self._kernels.Things, device=self.device)
        world.ground, world.ground_m = int(scene.ground_m is not None), scene.ground_m or 0.0
        world.ground_material = scene.ground_material
        camera = scene.camera
        world.eye = wp.vec3(*camera.position_m)
        world.axes = wp.mat33(*camera.rotation.reshape(-1))
        world.focal_px = camera.focal_px
        world.height, world.width = camera.size
        world.seed = scene.seed
        self._world, self._scene = wp.array([world], dtype=self._kernels.World, device=self.device), scene
        self._kept = world, things  # their arrays, which an array of structures does not keep alive

    def picture(self) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]]:
        """The picture in linear RGB, and the share of each pixel that shows the body."""
        wp, size = self._wp, self._scene.camera.size
        image = wp.empty(size, dtype=wp.vec3, device=self.device)
        mask = wp.empty(size, dtype=wp.float32, device=self.device)
        far = self._array(self._scene.far, wp.vec3)
        seen = self._array(self._seen(), wp.int32)
        nearest, unsure = self._drawn()
        inputs = [self._world, far, seen, nearest, unsure, image, mask]
        wp.launch(self._kernels.render, dim=size, inputs=inputs, device=self.device)
        return image.numpy(), mask.numpy()

    def _drawn(self) -> tuple[Any, Any]:
        """The triangle that each of the 2×2 rays of a pixel meets first, for `raster.drawn_at`."""
        wp, camera = self._wp, self._scene.camera
        samples = (2 * camera.size[0], 2 * camera.size[1])
        nearest = wp.zeros(samples, dtype=wp.int64, device=self.device)
        unsure = wp.zeros(samples, dtype=wp.uint8, device=self.device)
        at = self._projected(self._scene.vertices_m)
        if at is None:
            unsure.fill_(1)
        else:
            at[:, :2] = 2 * at[:, :2] + 0.5
            inputs = [self._mesh.indices, self._nodes, self._array(at, wp.vec3), nearest, unsure]
            wp.launch(self._raster.draw, dim=len(self._surface.faces), inputs=inputs, device=self.device)
        return nearest, unsure

    def _projected(self, points_m: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"] | None:
        """Columns and rows of points, and one over their depths; None where one is near to the camera or behind it."""
        camera = self._scene.camera
        x, y, depth = camera.to_camera(points_m).T
        if depth.min() < 0.2:
            return None
        height, width = camera.size
        out = np.stack([x, y, np.ones_like(depth)], 1) / depth[:, None]
        out[:, :2] = camera.focal_px * out[:, :2] + [(width - 1) / 2, (height - 1) / 2]
        return out

    def _seen(self) -> Int[np.ndarray, "height width"]:
        """Which solids may be seen in each pixel: bit k tells of solid k; from the thirty-first on they share one.

        One is expected in every pixel that the rectangle around the projection of the box that it fills touches.
        """
        scene = self._scene
        sides = np.array(scene.camera.size)[::-1]
        seen = np.zeros(scene.camera.size, np.int32)
        box = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
        for k, (centre, frame) in enumerate(zip(scene.solids.centre_m, scene.solids.frame, strict=True)):
            at = self._projected(centre + box @ np.linalg.inv(frame).T)
            if at is None:
                seen |= 1 << min(k, 30)
                continue
            # Rays pass a quarter of a pixel from its centre; the rest is for their rounding.
            left, top = np.ceil(np.clip(at.min(0)[:2] - 0.3, 0, sides)).astype(int)
            right, bottom = np.floor(np.clip(at.max(0)[:2] + 0.3, -1, sides - 1)).astype(int)
            seen[top : bottom + 1, left : right + 1] |= 1 << min(k, 30)
        return seen

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


def _linear(srgb: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    return np.clip(srgb, 0, 1) ** 2.2


@lru_cache(maxsize=2)
def renderer(device: str | None = None) -> Renderer:
    """The renderer of this process."""
    return Renderer(bodies(), device)

"""Renderer: copy a scene and a mesh to warp, and return images and ray hits."""

import itertools
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from hamipose.synthetic.people.body_model import body_model
from hamipose.synthetic.scene.scene import SOLIDS, Scene
from hamipose.synthetic.surface import Surface, coordinate_range, row_norms
from hamipose.synthetic.warp_runtime import compile_kernels, initialize_warp

__all__ = ["Renderer", "get_renderer"]

_SHAPES = 40  # cached array shapes per name; scenes have different numbers of solids and materials
_CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))


class Renderer:
    """Render a surface in its scene by ray casting. The mesh is built once and refitted to each pose.

    Args:
        surface: triangles and constant properties of the surface.
        device: warp device name, "cpu" or "cuda:0"; default: the first GPU if available.
    """

    def __init__(self, surface: Surface, device: str | None = None):
        wp = initialize_warp()
        self._wp = wp
        self.device = device or ("cuda:0" if wp.is_cuda_available() else "cpu")
        from hamipose.synthetic.renderer import kernels, raster

        self._kernels, self._raster, self._surface = kernels, raster, surface
        compile_kernels(raster, kernels, label="the renderer", device=self.device)
        self._arrays: dict[tuple[str, tuple[int, ...]], tuple[Any, np.ndarray | None]] = {}  # on a CPU with NumPy views
        self._points = self._array("points", surface.rest_m, wp.vec3)
        corners = self._array("corners", surface.faces.reshape(-1), wp.int32)
        self._mesh = wp.Mesh(points=self._points, indices=corners, bvh_leaf_size=2)
        # Mesh for rays whose triangle is known. Its bounding boxes are not used, so they need no refitting.
        faces = len(surface.faces)
        groups = self._array("groups", np.arange(faces), wp.int32)
        self._singles = wp.Mesh(points=self._points, indices=corners, groups=groups)
        self._nodes = wp.empty(faces, dtype=wp.int32, device=self.device)
        wp.launch(raster.number_nodes, dim=faces, inputs=[self._singles.id, self._nodes], device=self.device)
        self._face_part = self._array("face_part", surface.face_part, wp.int32)
        self._vertices = np.zeros((len(surface.rest_m), 3, 3), np.float32)
        self._vertices[:, 1], self._vertices[:, 2, 0], self._vertices[:, 2, 1] = (
            surface.cloth_m,
            surface.along,
            surface.hair,
        )

    def _empty(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return an array that is reused for all scenes, because allocating takes longer than filling."""
        if (name, shape) not in self._arrays:
            for oldest in [key for key in self._arrays if key[0] == name][: -_SHAPES + 1]:
                del self._arrays[oldest]
            array = self._wp.empty(shape, dtype=dtype, device=self.device)
            self._arrays[name, shape] = array, array.numpy() if self.device == "cpu" else None
        return self._arrays[name, shape][0]

    def _array(self, name: str, values: np.ndarray, dtype: Any) -> Any:
        """Return a reused array with the given values."""
        shape = values.shape[: values.ndim - (dtype is self._wp.vec3)]
        array = self._empty(name, shape, dtype)
        view = self._arrays[name, shape][1]
        if view is None:
            array.assign(np.ascontiguousarray(values, np.int32 if dtype is self._wp.int32 else np.float32))
        else:
            view[...] = values
        return array

    def _rows(self, name: str, *rows: np.ndarray) -> Any:
        """Return a table of vectors with one column per array; numbers are padded with zeros."""
        table = np.zeros((len(rows[0]), len(rows), 3), np.float32)
        for k, row in enumerate(rows):
            table[:, k, : 1 if row.ndim == 1 else 3] = row[:, None] if row.ndim == 1 else row
        return self._array(name, table, self._wp.vec3)

    def _structure(self, name: str, structure: Any) -> Any:
        """Return an array of one structure."""
        if (name, ()) not in self._arrays:
            array = self._wp.array([structure], dtype=structure._cls, device=self.device)
            self._arrays[name, ()] = array, array.numpy() if self.device == "cpu" else None
        array, view = self._arrays[name, ()]
        if view is None:
            array.assign([structure])
        else:
            view[0] = structure.numpy_value()
        return array

    def load(self, scene: Scene) -> None:
        """Load a scene; all later calls refer to it."""
        wp = self._wp
        world: Any = self._kernels.World()
        self._array("points", scene.vertices_m, wp.vec3)
        self._mesh.refit()
        occluders: Any = self._kernels.Occluders()
        world.face_part = self._face_part
        self._vertices[:, 0], self._vertices[:, 2, 2] = scene.normals, scene.blotch
        world.vertices = self._array("vertices", self._vertices, wp.vec3)
        world.outfit = self._array("outfit", scene.outfit, wp.float32)

        table = scene.materials
        finish = np.stack([table.scale, table.gloss, table.noise], 1)
        world.materials = self._rows(
            "materials",
            _to_linear(np.stack(table.first)),
            _to_linear(np.stack(table.second)),
            finish,
            np.array(table.pattern),
        )
        solids = scene.solids
        occluders.mesh, occluders.singles = self._mesh.id, self._singles.id
        occluders.count = len(solids.kind)
        if occluders.count:
            frames, kind = np.stack(solids.frame), np.array(solids.kind)
            half = 1.0 / np.linalg.norm(frames, axis=2)
            radius = np.where(kind == SOLIDS.index("ellipsoid"), half.max(1), np.linalg.norm(half, axis=1))
            rest = np.stack([kind, radius, solids.material], 1)
            occluders.solids = self._rows("solids", np.stack(solids.center_m), *frames.swapaxes(0, 1), rest)

        lights = scene.lights
        world.light_count = len(lights.towards)
        world.lights = self._rows("lights", lights.towards, lights.color, lights.spread)
        world.sky, world.floor, world.shade_m = wp.vec3(*lights.sky), wp.vec3(*lights.floor), lights.shade_m

        low, high = coordinate_range(scene.vertices_m)
        occluders.body_center = wp.vec3(*((low + high) / 2))
        occluders.body_radius = float(row_norms(scene.vertices_m - (low + high) / 2).max()) + 1e-3
        world.occluders = self._structure("occluders", occluders)
        world.ground, world.ground_m = int(scene.ground_m is not None), scene.ground_m or 0.0
        world.ground_material = scene.ground_material
        camera = scene.camera
        world.eye = wp.vec3(*camera.position_m)
        world.axes = wp.mat33(*camera.rotation.reshape(-1))
        world.focal_px = camera.focal_px
        world.height, world.width = camera.size
        world.seed = scene.seed
        self._world, self._scene = self._structure("world", world), scene
        self._alive = world, occluders  # keeps their arrays alive, which an array of structures does not

    def render(self) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]]:
        """Return the image in linear RGB, and the fraction of each pixel that shows the surface."""
        wp, size = self._wp, self._scene.camera.size
        image, mask = self._empty("image", size, wp.vec3), self._empty("mask", size, wp.float32)
        background = self._array("background", self._scene.background, wp.vec3)
        solids = self._array("solid_bits", self._solid_bits(), wp.int32)
        nearest, unsure = self._rasterize()
        inputs = [self._world, background, solids, nearest, unsure, image, mask]
        wp.launch(self._kernels.render, dim=size, inputs=inputs, device=self.device)
        return image.numpy().copy(), mask.numpy().copy()

    def _rasterize(self) -> tuple[Any, Any]:
        """Return the first triangle on each of the 2×2 rays of a pixel, for `raster.node_at`."""
        wp, camera = self._wp, self._scene.camera
        samples = (2 * camera.size[0], 2 * camera.size[1])
        nearest, unsure = self._empty("nearest", samples, wp.int64), self._empty("unsure", samples, wp.uint8)
        nearest.zero_()
        unsure.zero_()
        at, in_front = self._project(self._scene.vertices_m)
        if not in_front:
            unsure.fill_(1)
        else:
            at[:, :2] = 2 * at[:, :2] + 0.5
            inputs = [self._mesh.indices, self._nodes, self._array("projected", at, wp.vec3), nearest, unsure]
            wp.launch(self._raster.rasterize, dim=len(self._surface.faces), inputs=inputs, device=self.device)
        return nearest, unsure

    def _project(
        self, points_m: Float[np.ndarray, "*group point 3"]
    ) -> tuple[Float[np.ndarray, "*group point 3"], Bool[np.ndarray, "*group"]]:
        """Return column, row and inverse depth of points, and whether all of a group are in front of the camera."""
        camera = self._scene.camera
        height, width = camera.size
        x, y, depth = np.moveaxis(camera.to_camera(points_m), -1, 0)
        near = 1.0 / np.where(np.abs(depth) < 1e-9, 1e-9, depth)
        out = np.empty(points_m.shape)
        out[..., 0] = camera.focal_px * x * near + (width - 1) / 2
        out[..., 1] = camera.focal_px * y * near + (height - 1) / 2
        out[..., 2] = near
        return out, np.asarray(depth.min(-1) >= 0.2)

    def _solid_bits(self) -> Int[np.ndarray, "height width"]:
        """Return which solids each pixel may show: bit k for solid k; all solids from the 31st on share one bit.

        A solid may be visible in all pixels of the rectangle around the projection of its bounding box.
        """
        scene = self._scene
        height, width = scene.camera.size
        bits = np.zeros((height, width), np.int32)
        if not scene.solids.kind:
            return bits
        to_corners = _CORNERS @ np.linalg.inv(np.stack(scene.solids.frame)).swapaxes(1, 2)
        corners = np.stack(scene.solids.center_m)[:, None] + to_corners
        at, in_front = self._project(corners)
        # Rays pass a quarter of a pixel from its center; the rest of the margin allows for rounding.
        low = np.ceil(np.clip(at.min(1)[:, :2] - 0.3, 0, [width, height])).astype(int)
        high = np.floor(np.clip(at.max(1)[:, :2] + 0.3, -1, [width - 1, height - 1])).astype(int) + 1
        for k, ((left, top), (right, bottom), bounded) in enumerate(zip(low, high, in_front, strict=True)):
            if bounded:
                bits[top:bottom, left:right] |= 1 << min(k, 30)
            else:
                bits |= 1 << min(k, 30)
        return bits

    def first_hits(
        self, points_m: Float[np.ndarray, "point 3"]
    ) -> tuple[Float[np.ndarray, " point"], Int[np.ndarray, " point"]]:
        """Return distance and body part (-1: none) of the first hit of the ray from the camera to each point."""
        wp, count = self._wp, len(points_m)
        distance, part = self._empty("distance", (count,), wp.float32), self._empty("part", (count,), wp.int32)
        inputs = [self._world, self._array("targets", points_m, wp.vec3), distance, part]
        wp.launch(self._kernels.first_hits, dim=count, inputs=inputs, device=self.device)
        return distance.numpy().copy(), part.numpy().copy()


def _to_linear(srgb: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    return np.clip(srgb, 0, 1) ** 2.2


@lru_cache(maxsize=3)
def _renderer(device: str | None, surface: Surface) -> Renderer:
    return Renderer(surface, device)


def get_renderer(device: str | None = None, surface: Surface | None = None) -> Renderer:
    """Return the renderer of this process for a surface; default: the full body model."""
    return _renderer(device, body_model() if surface is None else surface)

"""The renderer: takes a scene and the body's mesh to warp, and brings a picture back."""

import os
import sys
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from hamipose.synthetic.bodies import Bodies, bodies
from hamipose.synthetic.scene import Scene
from hamipose.synthetic.start_warp import start_warp

__all__ = ["Renderer", "renderer"]


class Renderer:
    """Casts rays at one body and its scene. The mesh is built once and refitted to every pose.

    Args:
        surface: triangles and constant facts of the body.
        device: warp's name of the device: ``"cpu"``, ``"cuda:0"``; None: the first GPU if there is one.
    """

    def __init__(self, surface: Bodies, device: str | None = None):
        wp = start_warp()
        self._wp = wp
        self.device = device or ("cuda:0" if wp.is_cuda_available() else "cpu")
        if not any(name.startswith("wp_hamipose.synthetic.kernels") for name in _listdir(wp.config.kernel_cache_dir)):
            print("Compiling the renderer; this happens once and takes some seconds.", file=sys.stderr, flush=True)
        from hamipose.synthetic import kernels

        self._kernels, self._surface = kernels, surface
        self._points = self._array(surface.rest_m, wp.vec3)
        self._mesh = wp.Mesh(points=self._points, indices=self._array(surface.faces.reshape(-1), wp.int32))
        self._face_part = self._array(surface.face_part, wp.int32)
        self._cloth = self._array(surface.cloth_m, wp.vec3)

    def _array(self, values: np.ndarray, dtype: object) -> object:
        kind = np.int32 if dtype is self._wp.int32 else np.float32
        return self._wp.array(np.ascontiguousarray(values, kind), dtype=dtype, device=self.device)

    def load(self, scene: Scene) -> None:
        """Makes `scene` the one that rays are cast into."""
        wp, world = self._wp, self._kernels.World()
        self._points.assign(np.ascontiguousarray(scene.vertices_m, np.float32))
        self._mesh.refit()
        world.mesh, world.face_part, world.cloth = self._mesh.id, self._face_part, self._cloth
        world.normals = self._array(scene.normals, wp.vec3)
        fields = np.stack([self._surface.along, self._surface.hair, scene.blotch], 1)
        world.fields = self._array(fields, wp.vec3)
        world.wardrobe = self._array(scene.wardrobe, wp.float32)

        made = scene.materials
        world.first = self._array(_linear(np.stack(made.first)), wp.vec3)
        world.second = self._array(_linear(np.stack(made.second)), wp.vec3)
        world.pattern = self._array(np.array(made.pattern), wp.int32)
        world.finish = self._array(np.stack([made.scale, made.gloss, made.noise], 1), wp.vec3)

        solids = scene.solids
        world.solids = len(solids.kind)
        if world.solids:
            frames = np.stack(solids.frame)
            world.solid_kind = self._array(np.array(solids.kind), wp.int32)
            world.solid_centre = self._array(np.stack(solids.centre_m), wp.vec3)
            world.solid_frame = self._array(frames, wp.mat33)
            half = 1.0 / np.linalg.norm(frames, axis=2)
            ball = np.array(solids.kind) == 1
            world.solid_radius = self._array(np.where(ball, half.max(1), np.linalg.norm(half, axis=1)), wp.float32)
            world.solid_material = self._array(np.array(solids.material), wp.int32)

        lights = scene.lights
        world.lights = len(lights.towards)
        world.light_towards = self._array(lights.towards, wp.vec3)
        world.light_colour = self._array(lights.colour, wp.vec3)
        world.light_spread = self._array(lights.spread, wp.float32)
        world.sky, world.floor, world.shade_m = wp.vec3(*lights.sky), wp.vec3(*lights.floor), lights.shade_m

        low, high = scene.vertices_m.min(0), scene.vertices_m.max(0)
        world.body_centre = wp.vec3(*((low + high) / 2))
        world.body_radius = float(np.linalg.norm(scene.vertices_m - (low + high) / 2, axis=1).max()) + 1e-3
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
        wp.launch(self._kernels.render, dim=size, inputs=[self._world, far, image, mask], device=self.device)
        return image.numpy(), mask.numpy()

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


def _listdir(folder: object) -> list[str]:
    return os.listdir(folder) if folder and os.path.isdir(folder) else []


@lru_cache(maxsize=2)
def renderer(device: str | None = None) -> Renderer:
    """The renderer of this process."""
    return Renderer(bodies(), device)

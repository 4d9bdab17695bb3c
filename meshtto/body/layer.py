r"""Linear blend skinning of pose and shape as in SMPL (Loper et al., SIGGRAPH Asia 2015).

.. math::
    \bar v = T + S\beta + P\,\mathrm{vec}(R_{1:} - 1), \qquad j = J(T + S\beta), \qquad
    v = \sum_k w_k \left(G_k (\bar v - j_k) + q_k\right)

with :math:`G_k, q_k` the global rotation and position of joint k. The results are those of ``smplx.SMPL``, which loads
the arrays. For speed, joints in the rest pose are computed from the coefficients (J is linear), the chain is evaluated
level by level instead of joint by joint, and for a body without pose corrections P zeros are not multiplied, nor are
weights of joints that a vertex does not depend on (:mod:`meshtto.body.block_skinning`).
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from meshtto.body.arrays import BodyArrays
from meshtto.body.block_skinning import BlockSkinning
from meshtto.body.smpl import smplx_model
from meshtto.joints import CANDIDATES, EVALUATION14, H36M17, PARENTS24

__all__ = ["Body", "BodyOutput", "joint_chain"]


class BodyOutput(NamedTuple):
    """A posed body, in the frame of its root's rotation.

    Attributes:
        vertices_m: vertices.
        joints_m: `JOINTS49`.
        skeleton_m: `SMPL24`, the joints of the kinematic tree.
    """

    vertices_m: Float[Tensor, "batch vertex 3"]
    joints_m: Float[Tensor, "batch 49 3"]
    skeleton_m: Float[Tensor, "batch 24 3"]


def _levels(parents: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Return the joints of each depth, and the position of each one's parent in the depth above."""
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    joints = [[k for k, d in enumerate(depth) if d == level] for level in range(max(depth) + 1)]
    above = [[], *joints]
    return [(here, [up.index(parents[k]) for k in here] if up else []) for up, here in zip(above, joints, strict=False)]


_LEVELS = _levels(PARENTS24)
_BACK = [k for _, k in sorted((k, i) for i, k in enumerate(k for level, _ in _LEVELS for k in level))]


def joint_chain(
    rotations: Float[Tensor, "batch 24 3 3"], rest_m: Float[Tensor, "batch 24 3"]
) -> tuple[Float[Tensor, "batch 24 3 3"], Float[Tensor, "batch 24 3"]]:
    """Compute global rotation and position of each joint from rotations relative to parents and rest joints."""
    offsets = torch.cat([rest_m[:, :1], rest_m[:, 1:] - rest_m[:, list(PARENTS24[1:])]], 1)
    turned, placed = [rotations[:, :1]], [offsets[:, :1]]
    for here, parents in _LEVELS[1:]:
        up = turned[-1][:, parents]
        placed.append(placed[-1][:, parents] + (up @ offsets[:, here, :, None])[..., 0])
        turned.append(up @ rotations[:, here])
    return torch.cat(turned, 1)[:, _BACK], torch.cat(placed, 1)[:, _BACK]


#: Number of bodies skinned at once on a CPU, so that intermediate results stay in cache.
_CHUNK = 4
#: Minimum batch for block skinning; for fewer bodies the overhead of its products dominates.
_MIN_BLOCK_BATCH = 8


def _surface(
    rotations: Float[Tensor, "batch 24 3 3"],
    shape: Float[Tensor, "batch 10"],
    template: Float[Tensor, " coordinate"],
    shape_dirs: Float[Tensor, "10 coordinate"],
    pose_dirs: Float[Tensor, "207 coordinate"] | None,
) -> Float[Tensor, "batch 3 vertex"]:
    r"""Compute :math:`T + S\beta + P\,\mathrm{vec}(R_{1:} - 1)`; first all x, then all y, all z."""
    surface = torch.addmm(template, shape, shape_dirs)
    if pose_dirs is not None:
        one = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        surface = surface + (rotations[:, 1:] - one).flatten(1) @ pose_dirs
    return surface.unflatten(1, (3, -1))


class _Skin(torch.autograd.Function):
    """Skin the rest surface by 12 numbers per joint; autograd alone would take twice as long for the gradients."""

    @staticmethod
    def forward(ctx: Any, surface: Tensor, maps: Tensor, weights: Tensor) -> Tensor:
        of_vertex = (maps.flatten(0, 2) @ weights).unflatten(0, maps.shape[:3])
        ctx.save_for_backward(surface, maps, weights, of_vertex)
        x, y, z, shift = of_vertex.unbind(1)
        vertices = torch.addcmul(shift, x, surface[:, :1])
        return vertices.addcmul_(y, surface[:, 1:2]).addcmul_(z, surface[:, 2:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        surface, maps, weights, of_vertex = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        of_surface = of_maps = None
        with torch.autocast(surface.device.type, enabled=False):  # backward may run in an autocast region
            if torch.is_grad_enabled():  # a second derivative must reach the maps
                of_vertex = (maps.flatten(0, 2) @ weights).unflatten(0, maps.shape[:3])
            if ctx.needs_input_grad[0]:
                x, y, z = of_vertex[:, :3].unbind(2)
                of_surface = torch.addcmul(x * gradient[:, :1], y, gradient[:, 1:2])
                of_surface = torch.addcmul(of_surface, z, gradient[:, 2:])
            if ctx.needs_input_grad[1]:
                turning = (surface[:, :, None] * gradient[:, None]).flatten(0, 2) @ weights.mT
                shifting = gradient.flatten(0, 1) @ weights.mT
                of_maps = torch.cat([turning.unflatten(0, (-1, 3, 3)), shifting.unflatten(0, (-1, 1, 3))], 1)
        return of_surface, of_maps, None


def _skin(
    surface: Float[Tensor, "batch 3 vertex"],
    turned: Float[Tensor, "batch 24 3 3"],
    moved: Float[Tensor, "batch 24 3"],
    weights: Float[Tensor, "24 vertex"],
) -> Float[Tensor, "batch 3 vertex"]:
    """Skin all vertices. Vertices are the last dimension, so that all products are contiguous."""
    maps = torch.cat([turned, moved[..., None]], 3).permute(0, 3, 2, 1)  # batch, 4 columns, 3 rows, joint
    vertices: Tensor = _Skin.apply(surface, maps.contiguous(), weights)  # type: ignore[no-untyped-call]
    return vertices


class Body(nn.Module):
    """A body model: constant, differentiable in its inputs, in single or double precision (``.double()``).

    Its arrays are not part of a state dict: SMPL's must not be redistributed in a checkpoint, and the body is not
    something a network has learned.

    Args:
        arrays: the body's arrays.

    Attributes:
        name, gender: from the arrays.
        faces: [face, 3].
    """

    faces: Tensor
    template: Tensor
    shape_dirs: Tensor
    pose_dirs: Tensor | None
    weights: Tensor
    rest_joints: Tensor
    rest_joint_dirs: Tensor
    extra_index: Tensor
    extra_rows: Tensor
    extra_template: Tensor
    extra_shape_dirs: Tensor
    extra_pose_dirs: Tensor | None
    extra_weights: Tensor
    h36m_index: Tensor
    h36m_rows: Tensor

    def __init__(self, arrays: BodyArrays):
        super().__init__()
        self.name, self.gender = arrays.name, arrays.gender
        self.mean_rotations6d = torch.tensor(arrays.mean_rotations6d, dtype=torch.float32)
        self.mean_shape = torch.tensor(arrays.mean_shape, dtype=torch.float32)
        model = smplx_model(arrays)
        shape_dirs = model.shapedirs.permute(2, 1, 0)  # coefficient, 3, vertex

        def keep(name: str, tensor: Tensor) -> None:
            self.register_buffer(name, tensor.clone(), persistent=False)

        keep("faces", model.faces_tensor)
        keep("template", model.v_template.mT.flatten())  # first all x, then all y, all z
        keep("shape_dirs", shape_dirs.flatten(1))
        keep("weights", model.lbs_weights.mT.contiguous())
        if arrays.pose_dirs.shape[-1]:
            keep("pose_dirs", model.posedirs.unflatten(1, (-1, 3)).mT.flatten(1))
        else:
            self.pose_dirs = None
        regressor = model.J_regressor.double()
        keep("rest_joints", (regressor @ model.v_template.double()).float().flatten())
        keep("rest_joint_dirs", (regressor @ shape_dirs.mT.double()).float().flatten(1))
        picked = torch.zeros(len(arrays.picked), len(arrays.template_m))
        picked[torch.arange(len(arrays.picked)), model.vertex_joint_selector.extra_joints_idxs] = 1
        # Rows restricted to the few vertices they need: a gather and a small product.
        for name, rows in (
            ("extra", torch.cat([picked, torch.tensor(arrays.extra_regressor, dtype=torch.float32)])),
            ("h36m", torch.tensor(arrays.h36m_regressor, dtype=torch.float32)),
        ):
            needed = rows.abs().amax(0).nonzero()[:, 0]
            keep(f"{name}_index", needed)
            keep(f"{name}_rows", rows[:, needed])
        # What is needed to skin only these vertices.
        for name in ("template", "shape_dirs", "pose_dirs"):
            whole = getattr(self, name)
            few = None if whole is None else whole.unflatten(-1, (3, -1))[..., self.extra_index].flatten(-2)
            self.register_buffer(f"extra_{name}", few, persistent=False)
        keep("extra_weights", self.weights[:, self.extra_index])
        blocks = None if self.pose_dirs is not None else BlockSkinning(self.weights, self.template, self.shape_dirs)
        self.block_skinning = blocks if blocks is not None and blocks.worthwhile else None
        self._candidates = list(CANDIDATES)
        self._evaluation = [H36M17.index(name) for name in EVALUATION14]

    def forward(
        self,
        rotations: Float[Tensor, "batch 24 3 3"],
        shape: Float[Tensor, "batch 10"],
        translation_m: Float[Tensor, "batch 3"] | None = None,
    ) -> BodyOutput:
        """Pose a batch.

        Args:
            rotations: of each joint relative to its parent; the root's is relative to the frame of the result.
            shape: coefficients.
            translation_m: added to everything; the body rotates about its rest pelvis, not about the origin.
        """
        with torch.autocast(self.template.device.type, enabled=False):
            rotations, shape = rotations.to(self.template.dtype), shape.to(self.template.dtype)
            turned, moved, skeleton = self._chain(rotations, shape, translation_m)
            if self.block_skinning is not None and shape.device.type == "cpu" and len(shape) >= _MIN_BLOCK_BATCH:
                vertices = self.block_skinning(turned, moved, shape)
            else:
                vertices = self._dense_skinning(rotations, shape, turned, moved)
            joints = self._joints(rotations, shape, turned, moved, skeleton)
        return BodyOutput(vertices.mT, joints, skeleton)

    def _dense_skinning(
        self,
        rotations: Float[Tensor, "batch 24 3 3"],
        shape: Float[Tensor, "batch 10"],
        turned: Float[Tensor, "batch 24 3 3"],
        moved: Float[Tensor, "batch 24 3"],
    ) -> Float[Tensor, "batch 3 vertex"]:
        """Skin all vertices with all joints."""
        surface = _surface(rotations, shape, self.template, self.shape_dirs, self.pose_dirs)
        size = _CHUNK if surface.device.type == "cpu" else max(len(surface), 1)
        parts = zip(*(x.split(size) for x in (surface, turned, moved)), strict=True)
        return torch.cat([_skin(rest, rotation, shift, self.weights) for rest, rotation, shift in parts])

    def joints(
        self, rotations: Float[Tensor, "batch 24 3 3"], shape: Float[Tensor, "batch 10"]
    ) -> Float[Tensor, "batch 49 3"]:
        """Return the joints of :meth:`forward` without its vertices; joints depend on a few hundred of them."""
        with torch.autocast(self.template.device.type, enabled=False):
            rotations, shape = rotations.to(self.template.dtype), shape.to(self.template.dtype)
            return self._joints(rotations, shape, *self._chain(rotations, shape))

    def _chain(
        self,
        rotations: Float[Tensor, "batch 24 3 3"],
        shape: Float[Tensor, "batch 10"],
        translation_m: Float[Tensor, "batch 3"] | None = None,
    ) -> tuple[Float[Tensor, "batch 24 3 3"], Float[Tensor, "batch 24 3"], Float[Tensor, "batch 24 3"]]:
        """Return global rotations, the images of the origin, and the joint positions."""
        rest_m = (self.rest_joints + shape @ self.rest_joint_dirs).view(len(shape), -1, 3)
        turned, skeleton = joint_chain(rotations, rest_m)
        moved = skeleton - (turned @ rest_m[..., None])[..., 0]
        if translation_m is not None:
            skeleton, moved = (p + translation_m.to(p.dtype)[:, None] for p in (skeleton, moved))
        return turned, moved, skeleton

    def _joints(
        self,
        rotations: Float[Tensor, "batch 24 3 3"],
        shape: Float[Tensor, "batch 10"],
        turned: Float[Tensor, "batch 24 3 3"],
        moved: Float[Tensor, "batch 24 3"],
        skeleton: Float[Tensor, "batch 24 3"],
    ) -> Float[Tensor, "batch 49 3"]:
        few = _surface(rotations, shape, self.extra_template, self.extra_shape_dirs, self.extra_pose_dirs)
        extra = self.extra_rows @ _skin(few, turned, moved, self.extra_weights).mT
        return torch.cat([skeleton, extra], 1)[:, self._candidates]

    def h36m_joints(self, vertices_m: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch 17 3"]:
        """Regress `H36M17` from posed vertices."""
        with torch.autocast(vertices_m.device.type, enabled=False):
            return self.h36m_rows.to(vertices_m.dtype) @ vertices_m[:, self.h36m_index]

    def evaluation_joints(self, vertices_m: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch 14 3"]:
        """Regress `EVALUATION14` relative to the regressed pelvis, as MPJPE compares them."""
        joints = self.h36m_joints(vertices_m)
        return joints[:, self._evaluation] - joints[:, H36M17.index("pelvis")][:, None]

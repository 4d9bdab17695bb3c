"""MediaPipe's pose landmark networks (BlazePose, Bazarevsky et al., 2020) as trainable networks.

Conventions of the files ``pose_landmark_{lite,full,heavy}.tflite``, which :class:`BlazePose` converts:

- Input: RGB in [0, 1], 256 × 256, a square crop rotated so that the person is upright.
- Heatmaps: 64 × 64 cells, 39 logits. Keypoints 0 to 32 have names (`BLAZEPOSE33`), 33 is the middle of the hips, 34 a
  point above it on the circle around the whole body, 35 to 38 belong to the hands.
- Landmarks: 39 × 5 numbers (x, y, z, visibility and presence), in pixels where 0 is the image's *edge*. A cell u of a
  heatmap is at 4u on that scale, so at pixel 4u − 0.5; ours is at 4u + 1.5, see :meth:`BlazePose.features`.
- A closer crop is centered on point 33 and rotated so that point 34 is above it; its side is 2.5 times their distance.

The training data are not published and may contain public test photos.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hamipose.errors import UserError
from hamipose.heatmaps import cell_to_px
from hamipose.models.preprocess import IMAGENET_MEAN, IMAGENET_STD
from hamipose.models.pretrained.convert import convert_graph
from hamipose.models.pretrained.interface import FinetunableNetwork, Part
from hamipose.models.pretrained.operations import OperationNetwork, Program, required_operations
from hamipose.models.pretrained.tflite import read_tflite
from hamipose.skeletons import BLAZEPOSE33, Skeleton

__all__ = ["BlazePose", "centroid", "read_landmark_network"]

_KEYPOINTS = 39
_ALIGNMENT = "alignment_"  # beginning of the names of layers that only the landmarks depend on
_SHIFT = 2  # pixels between the network's cells and ours


def centroid(
    heatmaps: Float[Tensor, "*batch height width"], radius: int = 3, stride: int = 4
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Return the center of mass of the cells around each map's peak, in pixels, and the peak's height.

    Args:
        heatmaps: non-negative heatmaps.
        radius: the window has 2 · radius + 1 cells on each side; cells outside the map are ignored.
        stride: pixels per cell.
    """
    height, width = heatmaps.shape[-2:]
    maps = heatmaps.reshape(-1, height, width)
    peak, best = maps.flatten(1).max(1)
    x, y = (best % width)[:, None], (best // width)[:, None]
    near_x = ((torch.arange(width, device=maps.device) - x).abs() <= radius).to(maps.dtype)
    near_y = ((torch.arange(height, device=maps.device) - y).abs() <= radius).to(maps.dtype)
    window = maps * near_x[:, None, :] * near_y[:, :, None]
    mass = window.sum((1, 2))
    columns, rows = (torch.arange(n, device=maps.device, dtype=maps.dtype) for n in (width, height))
    center = torch.stack([(window.sum(1) * columns).sum(1), (window.sum(2) * rows).sum(1)], 1)
    cells = torch.where(mass[:, None] > 0, center / mass.clamp(min=1e-30)[:, None], torch.cat([x, y], 1).to(maps.dtype))
    shape = heatmaps.shape[:-2]
    return cell_to_px(cells, stride).reshape(*shape, 2), peak.reshape(shape)


class BlazePose(FinetunableNetwork):
    """A pose landmark network of MediaPipe, without its outputs for masks and world coordinates.

    Args:
        program: operations with the outputs ``features`` (input of the heatmap layer) and ``landmarks``.
        skeleton: predicted keypoints, see :meth:`hamipose.models.pretrained.interface.FinetunableNetwork.select`.
        weights: weights of the operations; default: zeros, to be filled by a state dict.
    """

    mean: Tensor
    std: Tensor
    native = BLAZEPOSE33
    image_size = 256
    passes = 3
    #: Gaussians of height 1 fitted to peaks above 0.85 on 40 photos of LSP's training half have widths of 1.29 (lite
    #: and full). Lower peaks are wider with about the same mass, like a mean over possible positions of a keypoint.
    sigma = 1.3

    def __init__(self, program: Program, skeleton: Skeleton, weights: Mapping[str, Tensor] | None = None):
        super().__init__()
        self.skeleton = skeleton
        self.program = program
        self.body = OperationNetwork(program.operations, weights)
        self.final = self.new_rows(program.channels["features"], len(skeleton))
        self.keep_other_rows()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)

    def layers(self, part: Part) -> list[nn.Parameter]:
        """Return the parameters of a part.

        "head" contains the layers that the published landmarks do not depend on. In the largest network, these are only
        the last layer's rows.
        """
        names = {name: self.body.parameters_of((output,)) for name, output in self.program.outputs.items()}
        shared = {name.removeprefix(_ALIGNMENT) for name in names["landmarks"]} if part == "head" else set()
        return [
            *(self.body.weights[name] for name in sorted(set(names["features"]) - shared)),
            *self.final.parameters(),
        ]

    def train_only(self, part: Part) -> None:
        """Enable gradients for one part only; the alignment points, and thus the crops, stay exactly as they are."""
        if part == "all":
            self.separate_alignment()
        super().train_only(part)

    @torch.no_grad()
    def separate_alignment(self) -> None:
        """Copy the layers that landmarks and heatmaps share, so that each of the two has its own.

        All outputs stay the same. Prediction takes no longer, because a pass computes only one of the two.
        """
        program, body = self.program, self.body
        heatmaps, landmarks = (
            required_operations(program.operations, [program.outputs[name]]) for name in ("features", "landmarks")
        )
        shared = {operation.output for operation in heatmaps} & {operation.output for operation in landmarks}
        if not shared:
            return

        def own(name: str) -> str:
            return f"{_ALIGNMENT}{name}" if name in shared else name

        copies = [replace(each, inputs=tuple(map(own, each.inputs)), output=own(each.output)) for each in landmarks]
        weights = {
            f"{copy.output}.{part}": body.weight(f"{operation.output}.{part}")
            for operation, copy in zip([*heatmaps, *landmarks], [*heatmaps, *copies], strict=True)
            if operation.kind == "conv"
            for part in ("weight", "bias")
        }
        outputs = {**program.outputs, "landmarks": own(program.outputs["landmarks"])}
        self.program = Program([*heatmaps, *copies], outputs, program.channels)
        self.body = OperationNetwork(self.program.operations, weights).to(memory_format=torch.channels_last)

    def _inputs(self, images: Tensor) -> Tensor:
        """Convert normalized images to the network's range, shifted so that its cells coincide with ours."""
        images = images * self.std + self.mean
        return F.pad(images, (-_SHIFT, _SHIFT, -_SHIFT, _SHIFT)).contiguous(memory_format=torch.channels_last)

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel h w"]:
        """Return the features, see :class:`hamipose.models.pretrained.interface.FinetunableNetwork`."""
        name = self.program.outputs["features"]
        return self.body(self._inputs(images), (name,))[name]

    def alignment(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 2 2"]:
        """Return landmarks 33 and 34, which can lie outside the crop, unlike peaks of heatmaps."""
        name = self.program.outputs["landmarks"]
        found = self.body(self._inputs(images), (name,))[name]
        return found.reshape(len(images), _KEYPOINTS, 5)[:, 33:35, :2].float() - 0.5 + _SHIFT

    def read(
        self, heatmaps: Float[Tensor, "batch keypoint h w"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Return the centroid around each peak, and the peak's height."""
        return centroid(heatmaps, stride=self.stride)


def read_landmark_network(path: str | Path) -> BlazePose:
    """Load a ``pose_landmark_{lite,full,heavy}.tflite`` as a network with all 33 keypoints, in eval mode.

    Raises:
        UserError: the file cannot be read or is another kind of file.
    """
    path = Path(path)
    graph = read_tflite(path)
    operations, weights = convert_graph(graph)
    shapes = {graph.shape(tensor)[1:]: f"t{tensor}" for tensor in graph.outputs}
    landmarks, heatmaps = shapes.get((5 * _KEYPOINTS,)), shapes.get((64, 64, _KEYPOINTS))
    made = {operation.output: operation for operation in operations}
    if landmarks is None or heatmaps is None or (last := made[heatmaps]).kind != "conv":
        found = ", ".join(str(graph.shape(tensor)) for tensor in graph.outputs)
        raise UserError(
            f"{path} has outputs of shapes {found}; expected a pose landmark network of MediaPipe with (1, 195) and "
            "(1, 64, 64, 39)"
        )
    outputs = {"features": last.inputs[0], "landmarks": landmarks}
    kept = required_operations(operations, outputs.values())
    row_weights, bias = weights[f"{heatmaps}.weight"], weights[f"{heatmaps}.bias"]
    program = Program(kept, outputs, {"features": row_weights.shape[1]})
    network = BlazePose(program, BLAZEPOSE33, weights)
    with torch.no_grad():
        network.final.weight.copy_(row_weights[: len(BLAZEPOSE33)])
        network.final.bias.copy_(bias[: len(BLAZEPOSE33)])  # type: ignore[union-attr]
    return network.eval()

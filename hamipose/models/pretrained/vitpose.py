"""ViTPose (Xu et al., NeurIPS 2022) through Hugging Face's `transformers`, a separate extra.

The network's input is 256 × 192 pixels, higher than wide. Its heatmaps follow unbiased data processing (UDP): the
centers of the outermost cells lie on the centers of the outermost pixels. It returns heatmaps, not logits.
"""

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hamipose.errors import UserError
from hamipose.extras import require_packages
from hamipose.heatmaps import decode
from hamipose.models.pretrained.interface import PretrainedNetwork
from hamipose.skeletons import COCO17

__all__ = ["PREFIX", "VitPose", "is_vitpose", "read_vitpose"]

#: Prefix of the name of a model on the hub.
PREFIX = "vitpose:"


class VitPose(PretrainedNetwork):
    """A ViTPose network, which reads the middle of a square crop.

    The last layer of its simple decoder is a 3 × 3 convolution: here it is a 1 × 1 convolution of the 3 × 3
    neighborhoods, so that it has one row for each keypoint, like all last layers in this package.

    Args:
        model: a ``VitPoseForPoseEstimation``; its last layer is removed from it.
    """

    skeleton = COCO17

    def __init__(self, model: Any):
        super().__init__()
        last = model.head.conv
        self.kernel = last.kernel_size[0]
        self.final = nn.Conv2d(self.kernel**2 * last.in_channels, last.out_channels, 1)
        assert self.final.bias is not None
        with torch.no_grad():
            self.final.weight.copy_(last.weight.reshape(last.out_channels, -1, 1, 1))
            self.final.bias.copy_(last.bias)
        model.head.conv = nn.Identity()
        self.model = model
        height, width = model.config.backbone_config.image_size
        self.image_size = height
        self.aspect = width / height
        self._width = width

    def _before_final(self, images: Tensor) -> Tensor:
        margin = (images.shape[-1] - self._width) // 2
        visible = images[..., margin : margin + self._width].contiguous()
        several = self.model.config.backbone_config.num_experts > 1
        dataset = (
            torch.zeros(len(visible), dtype=torch.long, device=visible.device) if several else None
        )  # COCO is the first data set
        return self.model(visible, dataset_index=dataset).heatmaps

    @property
    def _margin(self) -> int:
        """Return the number of cells on each side of the network's input."""
        return (self.image_size - self._width) // 2 // self.stride

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel h w"]:
        """Return the features of the images' middle, padded with zeros to the width of the whole images' features."""
        visible = self._before_final(images)
        near = F.unfold(visible, self.kernel, padding=self.kernel // 2).unflatten(-1, visible.shape[-2:])
        return F.pad(near, (self._margin, self._margin))

    def logits(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return ``final(features(images))``, computed without storing the neighborhoods."""
        weight = self.final.weight.reshape(len(self.final.weight), -1, self.kernel, self.kernel)
        maps = F.conv2d(self._before_final(images), weight, padding=self.kernel // 2)
        return F.pad(maps, (self._margin, self._margin)) + self.final.bias.view(-1, 1, 1)  # type: ignore[union-attr]

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Map normalized images to heatmaps, which are the last layer's outputs without a sigmoid."""
        return self.logits(images)

    @torch.no_grad()
    def decode(
        self, heatmaps: Float[Tensor, "batch keypoint h w"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """Decode heatmaps, see :class:`hamipose.models.pretrained.interface.PretrainedNetwork`."""
        visible = heatmaps[..., self._margin : heatmaps.shape[-1] - self._margin]
        cells, confidence = decode(visible, stride=1)
        rows, columns = visible.shape[-2:]
        scale = cells.new_tensor([(self._width - 1) / (columns - 1), (self.image_size - 1) / (rows - 1)])
        return cells * scale + cells.new_tensor([(self.image_size - self._width) / 2, 0]), confidence.clamp(0, 1)


def is_vitpose(path: str | Path) -> bool:
    """Return whether a checkpoint is the name of a ViTPose model on the hub, or a folder with such a model."""
    if str(path).startswith(PREFIX):
        return True
    try:
        return json.loads((Path(path) / "config.json").read_text()).get("model_type") == "vitpose"
    except (OSError, ValueError, AttributeError):
        return False


def read_vitpose(path: str | Path) -> VitPose:
    """Open a ViTPose model, in eval mode.

    Args:
        path: a folder saved by `transformers`, or ``vitpose:`` followed by such a folder or the name of a model on the
            hub, which is downloaded once.

    Raises:
        UserError: `transformers` is missing, there is no such model, or its keypoints are not COCO's 17.
    """
    name = str(path).removeprefix(PREFIX)
    require_packages(str(path), "transformers")
    from transformers import VitPoseForPoseEstimation
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, report = VitPoseForPoseEstimation.from_pretrained(name, output_loading_info=True, use_safetensors=True)
    except Exception as error:  # errors of the hub, the file and the config have different classes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path} cannot be opened as a ViTPose model of transformers ({reason}); give a folder with config.json "
            "and model.safetensors, or vitpose:NAME of a model on the hub"
        ) from None
    finally:
        if shown:
            logging.enable_progress_bar()
    if absent := sorted(report["missing_keys"]):
        raise UserError(f"{path} lacks {', '.join(absent[:3])}; copy the model again")
    config = model.config
    height, width = config.backbone_config.image_size
    larger = config.scale_factor if config.use_simple_decoder else 4  # upsampling of the features to heatmaps
    stride = config.backbone_config.patch_size[0] / larger
    if (
        config.num_labels != len(COCO17)
        or stride != PretrainedNetwork.stride
        or width > height
        or (height - width) % (2 * stride)
    ):
        raise UserError(
            f"{path} has {config.num_labels} keypoints, an input of {height} × {width} px and a cell for every "
            f"{stride:g} px; expected the 17 of COCO, images that are not wider than high, and a cell for every "
            f"{PretrainedNetwork.stride} px"
        )
    return VitPose(model).eval()

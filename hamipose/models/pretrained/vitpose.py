"""ViTPose (Xu et al., NeurIPS 2022) through Hugging Face's `transformers`, an extra of its own.

The network sees 256 × 192 pixels, higher than wide. Its heatmaps are those of unbiased data processing (UDP): the
centers of the outermost cells lie on the centers of the outermost pixels. It gives heatmaps, not logits.
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

#: Before the name of a model on the hub.
PREFIX = "vitpose:"


class VitPose(PretrainedNetwork):
    """A ViTPose network, which sees the middle of a square crop.

    The last layer of its simple decoder is a 3 × 3 convolution: here it is a 1 × 1 convolution of the 3 × 3
    neighborhoods, so that it has one row for each keypoint as every last layer has.

    Args:
        model: a ``VitPoseForPoseEstimation``; its last layer is taken out of it.
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
        seen = images[..., margin : margin + self._width].contiguous()
        several = self.model.config.backbone_config.num_experts > 1
        dataset = torch.zeros(len(seen), dtype=torch.long, device=seen.device) if several else None  # COCO is the first
        return self.model(seen, dataset_index=dataset).heatmaps

    @property
    def _margin(self) -> int:
        """Cells on either side of what the network sees."""
        return (self.image_size - self._width) // 2 // self.stride

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel h w"]:
        """Features of the middle of the images, with zeros on either side: as wide as the whole images' would be."""
        seen = self._before_final(images)
        near = F.unfold(seen, self.kernel, padding=self.kernel // 2).unflatten(-1, seen.shape[-2:])
        return F.pad(near, (self._margin, self._margin))

    def logits(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Return what ``final(features(images))`` is, without the neighborhoods in memory."""
        weight = self.final.weight.reshape(len(self.final.weight), -1, self.kernel, self.kernel)
        maps = F.conv2d(self._before_final(images), weight, padding=self.kernel // 2)
        return F.pad(maps, (self._margin, self._margin)) + self.final.bias.view(-1, 1, 1)  # type: ignore[union-attr]

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch keypoint h w"]:
        """Normalized images → heatmaps, which the last layer gives without a sigmoid."""
        return self.logits(images)

    @torch.no_grad()
    def decode(
        self, heatmaps: Float[Tensor, "batch keypoint h w"]
    ) -> tuple[Float[Tensor, "batch keypoint 2"], Float[Tensor, "batch keypoint"]]:
        """See :class:`hamipose.models.pretrained.interface.PretrainedNetwork`."""
        seen = heatmaps[..., self._margin : heatmaps.shape[-1] - self._margin]
        cells, confidence = decode(seen, stride=1)
        rows, columns = seen.shape[-2:]
        scale = cells.new_tensor([(self._width - 1) / (columns - 1), (self.image_size - 1) / (rows - 1)])
        return cells * scale + cells.new_tensor([(self.image_size - self._width) / 2, 0]), confidence.clamp(0, 1)


def is_vitpose(path: str | Path) -> bool:
    """Whether a checkpoint names a ViTPose model on the hub, or a folder that holds one."""
    if str(path).startswith(PREFIX):
        return True
    try:
        return json.loads((Path(path) / "config.json").read_text()).get("model_type") == "vitpose"
    except (OSError, ValueError, AttributeError):
        return False


def read_vitpose(path: str | Path) -> VitPose:
    """Open a ViTPose model, in eval mode.

    Args:
        path: a folder that `transformers` saved, or ``vitpose:`` before such a folder or the name of a model on the
            hub, which is downloaded the first time.

    Raises:
        UserError: `transformers` is missing, there is no such model, or it has other keypoints than COCO's 17.
    """
    name = str(path).removeprefix(PREFIX)
    require_packages(str(path), "transformers")
    from transformers import VitPoseForPoseEstimation
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, report = VitPoseForPoseEstimation.from_pretrained(name, output_loading_info=True, use_safetensors=True)
    except Exception as error:  # of the hub, of the file, of a config that does not fit: each has a class of its own
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
    larger = config.scale_factor if config.use_simple_decoder else 4  # of the features' sides, to those of heatmaps
    stride = config.backbone_config.patch_size[0] / larger
    if (
        config.num_labels != len(COCO17)
        or stride != PretrainedNetwork.stride
        or width > height
        or (height - width) % (2 * stride)
    ):
        raise UserError(
            f"{path} has {config.num_labels} keypoints, sees {height} × {width} px and has a cell for every {stride:g} "
            "px; expected the 17 of COCO, images that are not wider than high, and a cell for every "
            f"{PretrainedNetwork.stride} px"
        )
    return VitPose(model).eval()

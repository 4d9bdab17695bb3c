"""Simple Baselines and HRNets for COCO, as published by Microsoft and mmpose (.pth).

- Microsoft (Xiao et al., ECCV 2018; Sun et al., CVPR 2019): names of torchvision's ResNet or of HRNet, then
  ``deconv_layers`` and ``final_layer``.
- mmpose: the same with the prefixes ``backbone.`` and ``keypoint_head.`` (0.x) or ``head.`` (1.x).

The input of both is 256 × 192 or 384 × 288 pixels, higher than wide; a heatmap cell u is at pixel 4u. The files do not
contain the size: it is read from their names, in which both state it.
"""

import re
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hamipose.errors import UserError
from hamipose.models.network import PoseNetwork
from hamipose.models.pretrained.interface import FinetunableNetwork, Part
from hamipose.models.reference_weights import identify_resnet
from hamipose.models.weights import read_state_dict
from hamipose.skeletons import COCO17, Skeleton

__all__ = [
    "TopDown",
    "read_topdown",
]

_NOT_USED = ("fc.", "data_preprocessor.", "loss")


class TopDown(FinetunableNetwork):
    """A network that reads the middle of a square crop, higher than wide, and returns heatmaps, not logits.

    Args:
        network: normalized images → heatmaps.
        skeleton: its keypoints.
        image_size: height of its input, and side of the crops.
    """

    native = COCO17
    aspect = 0.75
    offset_px = 0.0
    gives_logits = False

    def __init__(self, network: PoseNetwork, skeleton: Skeleton, image_size: int):
        super().__init__()
        self.network = network
        self.skeleton = skeleton
        self.image_size = image_size
        self.sigma = 2.0 * image_size / 256  # 2 cells at 256 × 192, 3 at 384 × 288
        self.keep_other_rows()

    @property
    def final(self) -> nn.Conv2d:  # type: ignore[override]
        """Return the last layer, see :class:`hamipose.models.pretrained.interface.FinetunableNetwork`."""
        return self.network.final

    def replace_final(self, layer: nn.Conv2d) -> None:
        """Replace the last layer."""
        self.network.final = layer

    def layers(self, part: Part) -> list[nn.Parameter]:
        """Return the parameters of a part; "head" contains the layers after the backbone."""
        whole = part == "all"
        return (
            list(self.network.parameters()) if whole else [*self.network.deconv.parameters(), *self.final.parameters()]
        )

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel h w"]:
        """Return the features of the images' middle, padded with zeros to the width of the whole images' features."""
        margin = round(images.shape[-1] * (1 - self.aspect) / 2)
        features = self.network.features(images[..., margin : images.shape[-1] - margin])
        return F.pad(features, (margin // self.stride, margin // self.stride))


def _topdown_network(state: dict[str, Tensor], name: str) -> tuple[PoseNetwork, str, tuple[int, ...]]:
    """Build the network of a published state dict, in eval mode.

    Args:
        state: tensors by name.
        name: origin of the weights, for messages.

    Returns:
        The network, timm's name of its backbone, and the widths of its deconvolutions.

    Raises:
        UserError: a part is missing, unknown or has another shape, or the keypoints are not the 17 of COCO.
    """
    plain = {re.sub(r"^(backbone|keypoint_head|head)\.", "", key): value for key, value in state.items()}
    plain = {key: value for key, value in plain.items() if not key.startswith(_NOT_USED)}
    rows = plain.get("final_layer.weight")
    hrnet = "stage2.0.branches.0.0.conv1.weight" in plain
    backbone = _hrnet(plain) if hrnet else identify_resnet(plain, "")
    if rows is None or rows.ndim != 4 or backbone is None:
        raise UserError(
            f"{name} is not a Simple Baseline or HRNet of Microsoft's code or mmpose: expected a ResNet or HRNet, "
            f"deconv_layers and final_layer, found {', '.join(list(state)[:3]) or 'nothing'} …"
        )
    if len(rows) != len(COCO17):
        raise UserError(f"{name} has {len(rows)} keypoints; only networks for the 17 of COCO can be read")
    deconvolutions = [k for k in plain if re.fullmatch(r"deconv_layers\.\d+\.weight", k) and plain[k].ndim == 4]
    widths = tuple(plain[k].shape[1] for k in deconvolutions)
    network = PoseNetwork(len(rows), backbone, None, widths)
    parts = {"deconv_layers.": "deconv.", "final_layer.": "final."}
    renamed = {}
    for key, value in plain.items():
        part = next((p for p in parts if key.startswith(p)), "")
        renamed[(parts[part] if part else "backbone.") + key.removeprefix(part)] = value
    try:
        network.load_state_dict(_with_counters(renamed, network))
    except RuntimeError as error:
        first = " ".join(str(error).split("\n\t")[1].split())[:200]
        raise UserError(f"{name} does not fit a {backbone}: {first}") from None
    return network.eval(), backbone, widths


def _hrnet(plain: dict[str, Tensor]) -> str:
    """Return timm's name of the HRNet with this width of the finest branch."""
    return f"hrnet_w{plain['stage2.0.branches.0.0.conv1.weight'].shape[0]}"


def _with_counters(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Add BatchNorm's batch counters, which files of older torch versions lack and evaluation does not use."""
    counters = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
    return counters | state


def read_topdown(path: str | Path) -> tuple[TopDown, str, tuple[int, ...]]:
    """Load the network of a file, in eval mode.

    Returns:
        The network, timm's name of its backbone, and the widths of its deconvolutions.

    Raises:
        UserError: the file cannot be read or is another kind of file, or its name states another size.
    """
    path = Path(path)
    found = re.search(r"(\d{2,4})x(\d{2,4})", path.name)
    height, width = (int(found[1]), int(found[2])) if found else (256, 192)
    if width != TopDown.aspect * height or height % 32 or width % 32:
        raise UserError(
            f"{path} is for images of {height} × {width} px according to its name; expected 256x192 or 384x288"
        )
    network, backbone, widths = _topdown_network(read_state_dict(path), str(path))
    return TopDown(network, COCO17, height).eval(), backbone, widths

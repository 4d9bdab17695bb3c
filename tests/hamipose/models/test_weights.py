import os
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from hamipose.errors import UserError
from hamipose.models.network import PoseNetwork
from hamipose.models.weights import read_state_dict

SHARED = Path(os.environ.get("HAMIPOSE_SHARED", Path(__file__).parents[4] / "shared"))
HEAD = (8, 8, 8)


@pytest.fixture(scope="module")
def classifier():
    """Return timm's smallest ResNet with a classifier and non-initial statistics."""
    torch.manual_seed(1)
    model = timm.create_model("resnet10t", num_classes=10)
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return model


def assert_backbone_is(network, state):
    for name, tensor in network.backbone.state_dict().items():
        torch.testing.assert_close(tensor, state[name].to(tensor.dtype), msg=name)


def one_line(error):
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize("nested", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_state_dicts_of_pytorch_files_are_read(classifier, tmp_path, prefix, nested):
    state = {prefix + k: v for k, v in classifier.state_dict().items()}
    torch.save({nested: state, "epoch": 3} if nested else state, tmp_path / "weights.pth")
    network = PoseNetwork(4, "resnet10t", str(tmp_path / "weights.pth"), HEAD)
    assert_backbone_is(network, classifier.state_dict())


def test_half_precision_safetensors_are_converted_to_single(classifier, tmp_path):
    state = {k: v.half() if v.is_floating_point() else v for k, v in classifier.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    assert {t.dtype for t in read_state_dict(tmp_path / "weights.safetensors").values()} == {torch.float32, torch.long}
    network = PoseNetwork(4, "resnet10t", str(tmp_path / "weights.safetensors"), HEAD)
    assert all(t.dtype == torch.float32 for t in network.state_dict().values() if t.is_floating_point())
    assert_backbone_is(network, state)


def test_torchvision_names_fit_timm_networks(tmp_path):
    theirs = torchvision.models.resnet18(num_classes=3)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    network = PoseNetwork(4, "resnet18", str(tmp_path / "resnet18.pth"), HEAD).eval()
    images = torch.randn(1, 3, 64, 64)
    trunk = torch.nn.Sequential(*list(theirs.eval().children())[:-2])
    torch.testing.assert_close(network.backbone(images)[-1], trunk(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "convnext_atto", "hrnet_w18_small", "lcnet_050"])
def test_extractors_with_renamed_tensors_are_filled(backbone, tmp_path):
    theirs = timm.create_model(backbone)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    network = PoseNetwork(4, backbone, str(tmp_path / "weights.pth"), HEAD)
    mine = {k.removeprefix("model.").replace(".", "_"): v for k, v in network.backbone.state_dict().items()}
    for name, tensor in theirs.state_dict().items():
        if name.replace(".", "_") in mine:
            assert torch.equal(mine[name.replace(".", "_")], tensor)


def test_no_weights_means_random_initialization():
    torch.manual_seed(3)
    a = PoseNetwork(4, "resnet10t", None, HEAD)
    torch.manual_seed(3)
    b = PoseNetwork(4, "resnet10t", "none", HEAD)
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_unsuitable_weights_are_rejected_in_one_line(classifier, tmp_path, change):
    state = dict(classifier.state_dict())
    if change == "missing":
        del state["layer2.0.bn1.weight"]
    elif change == "unknown":
        state["layer9.weight"] = torch.zeros(3)
    else:
        state["layer2.0.bn1.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(UserError) as error:
        PoseNetwork(4, "resnet10t", str(tmp_path / "weights.pth"), HEAD)
    message = one_line(error)
    assert "weights.pth" in message
    assert ("layer9" if change == "unknown" else "layer2.0.bn1.weight") in message


def test_weights_of_another_network_are_rejected(classifier, tmp_path):
    torch.save(classifier.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UserError) as error:
        PoseNetwork(4, "mobilenetv3_small_050", str(tmp_path / "weights.pth"), HEAD)
    assert "mobilenetv3_small_050" in one_line(error)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("content", ["absent", "text", "truncated", "code", "number", "empty"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_without_state_dict_are_rejected_in_one_line(classifier, tmp_path, capsys, content, suffix):
    path = tmp_path / f"weights{suffix}"
    if content == "text":
        path.write_text("not weights\nat all")
    elif content == "truncated":
        (save_file if suffix == ".safetensors" else torch.save)(dict(classifier.state_dict()), path)
        path.write_bytes(path.read_bytes()[:5000])
    elif content in ("code", "number", "empty"):
        torch.save({"code": Evil(), "number": 3, "empty": {}}[content], path)
    with pytest.raises(UserError) as error:
        read_state_dict(path)
    assert str(path) in one_line(error)
    assert "executed" not in capsys.readouterr().out


def test_pretrained_weights_without_network_are_reported(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("host not found\nand a long story")

    monkeypatch.setattr("hamipose.models.weights._reach_hub", lambda name: None)
    monkeypatch.setattr(timm.models._hub, "hf_hub_download", unreachable)
    monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", unreachable)
    with pytest.raises(UserError) as error:
        PoseNetwork(4, "resnet10t", "pretrained", HEAD)
    assert "host not found" in one_line(error)
    assert "path of a state dict" in one_line(error)


def test_network_is_requested_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """huggingface_hub would send six requests, wait between them, and log each."""
    asked = []

    class Session:
        def __getattr__(self, name: str):
            def request(*args, **kwargs):
                asked.append(name)
                raise OSError("no route to host")

            return request

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("hamipose.models.weights.get_session", Session)
    with pytest.raises(UserError, match="no route to host"):
        PoseNetwork(4, "resnet10t", "pretrained", HEAD)
    assert asked == ["head"]
    assert caplog.records == []
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_real_weights_load(backbone):
    path = SHARED / "data" / "weights" / f"{backbone}_imagenet.safetensors"
    if not path.is_file():
        pytest.skip(f"{path} is not here (HAMIPOSE_SHARED names the folder that holds data/weights)")
    network = PoseNetwork(4, backbone, str(path), HEAD)
    assert_backbone_is(network, read_state_dict(path))
    assert network.backbone.state_dict()["bn1.running_var"].ne(1).all()

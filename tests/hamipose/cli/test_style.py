"""`style fit` with a tiny random encoder in VGG's format."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hamipose.cli import main
from hamipose.data.datasets.footage.images import ImageFolder
from hamipose.data.style_pairs import StylePairs
from hamipose.methods.parts.style_decoder import fit_decoder
from hamipose.models.style import Encoder, StyleTransfer, build_decoder, load_style, save_decoder


def pictures(root: Path) -> list[str]:
    rng = np.random.default_rng(0)
    for name, color in (("content", 60), ("style", 190)):
        (root / name).mkdir()
        for i in range(6):
            image = np.clip(rng.normal(color, 25, (48, 48, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / name / f"{i}.png"), cv2.GaussianBlur(image, (0, 0), 2))
    torch.manual_seed(3)
    state = Encoder((4, 6, 8, 10)).features.state_dict()
    torch.save({f"features.{name}": value for name, value in state.items()}, root / "vgg.pth")
    return ["--content", str(root / "content"), "--style", str(root / "style"), "--encoder", str(root / "vgg.pth")]


def test_fit_decoder_trains_only_the_decoder(tmp_path: Path):
    pictures(tmp_path)
    torch.manual_seed(0)
    encoder = Encoder((4, 6, 8, 10))
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    pairs = StylePairs(*(ImageFolder(str(tmp_path / d)) for d in ("content", "style")), batch_size=2, size=32)
    seen = []
    fit_decoder(
        StyleTransfer(encoder, build_decoder(encoder.widths)), pairs, 80, lr=3e-3, style_weight=1.0,
        after_step=lambda step, losses: seen.append(float(losses.content + losses.style)),
    )  # fmt: skip
    assert len(seen) == 80
    # Directions and strengths are random in each step, so means over twenty steps are compared.
    assert np.mean(seen[-20:]) < 0.85 * np.mean(seen[:20])
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())


def test_style_fit_writes_a_loadable_decoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    given = pictures(tmp_path)
    out = tmp_path / "made" / "decoder.safetensors"
    options = ["--out", str(out), "--steps", "3", "--size", "32", "--workers", "0", "--batch-size", "2"]
    assert main(["style", "fit", *given, *options, "--device", "cpu"]) == 0
    assert "step 3/3" in capsys.readouterr().out
    assert load_style(str(tmp_path / "vgg.pth"), out).encoder.widths == (4, 6, 8, 10)
    assert main(["style", "fit", *given, *options, "--start", str(out), "--device", "cpu"]) == 0


def test_config_provides_both_domains(tmp_path: Path):
    given = pictures(tmp_path)[4:]
    folder = "{class_path: hamipose.data.ImageFolder, init_args: {root: %s}}"
    (tmp_path / "base.yaml").write_text(f"data: {{source: {folder % 'nowhere'}, target: [{folder % 'nowhere'}]}}\n")
    (tmp_path / "run.yaml").write_text(
        f"inherit: base.yaml\ndata:\n  source: {{init_args: {{root: {tmp_path / 'content'}}}}}\n"
        f"  target: [{folder % (tmp_path / 'style')}]\n"
    )
    options = ["--out", str(tmp_path / "d.safetensors"), "--steps", "1", "--size", "32", "--workers", "0"]
    config = ["--config", str(tmp_path / "run.yaml")]
    assert main(["style", "fit", *config, *given, *options, "--device", "cpu"]) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--size", "36"], "--size is 36: expected a multiple of 8"),
        (["--content", "/nowhere"], "image folder /nowhere does not exist"),
        (["--encoder", "/nowhere.pth"], "/nowhere.pth does not exist"),
        (["--style", ""], "--content FOLDER and --style FOLDER, or --config FILE"),
        (["--config", "run.yaml"], "style fit takes both domains from --config"),
        (["--workers", "-1"], "--workers: -1 is too small, expected at least 0"),
        (["--steps", "0"], "--steps: 0 is too small, expected at least 1"),
        (["--steps", "many"], "--steps: 'many' is not an integer"),
        (["--seed", "-1"], "--seed: -1 is too small"),
        (["--lr", "nan"], "--lr is nan"),
        (["--device", "gpu"], "device is 'gpu', which cannot be used here"),
        (["--start", "other.safetensors"], "does not fit the encoder"),
        (["--out", "content"], "--out is content, a folder"),
        (["--out", "vgg.pth/sub/d.safetensors"], "vgg.pth/sub cannot be used"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, change: list[str], said: str
):
    monkeypatch.chdir(tmp_path)
    given = pictures(tmp_path)
    save_decoder(build_decoder((4, 6, 8, 12)), Path("other.safetensors"))
    assert main(["style", "fit", *given, "--out", str(tmp_path / "d.safetensors"), "--device", "cpu", *change]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{class_path: hamipose.data.ImageFoldr, init_args: {root: content}}", "data.source cannot be created"),
        ("{class_path: ImageFolder, init_args: {root: content}}", "data.source cannot be created"),
        ("{class_path: hamipose.data.ImageFolder, init_args: {rot: content}}", "data.source cannot be created"),
        ("content", "data.source is 'content', expected a data set"),
        ("", "has no data.source"),
    ],
)
def test_config_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, said: str):
    target = "{class_path: hamipose.data.ImageFolder, init_args: {root: style}}"
    (tmp_path / "run.yaml").write_text(f"data:\n  source: {source}\n  target: {target}\n")
    assert main(["style", "fit", "--config", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "d.safetensors")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1

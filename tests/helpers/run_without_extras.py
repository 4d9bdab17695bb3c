"""A script that uses 2D pose with the core dependencies only; its argument is JSON with options of `fit_pose.run`."""

import contextlib
import io
import json
import sys
from pathlib import Path

from hamipose import extras

for package in extras._EXTRAS:
    sys.modules[package] = None  # type: ignore[assignment]  # as if it were not installed

import cv2  # noqa: E402
import torch  # noqa: E402

import hamipose  # noqa: E402
from hamipose.cli import main as run_hamipose  # noqa: E402
from hamipose.gating import KeypointGate  # noqa: E402
from hamipose.optim import Hamiltonian  # noqa: E402
from meshtto.cli import main as run_meshtto  # noqa: E402
from tests.helpers import fit_pose  # noqa: E402

#: Commands that need an extra, and the end of their error message.
COMMANDS = {
    "wandb": (run_hamipose, ["dashboard", "--entity", "me", "--project", "mine"]),
    "mesh": (run_meshtto, ["body", "show", "--out", "body.png"]),
    "synthetic": (run_hamipose, ["data", "synthesize", "--count", "1", "--out", "people"]),
}


def take_step() -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = Hamiltonian([parameter], lr=1e-3, friction=0.1)
    parameter.square().sum().backward()
    optimizer.step()
    KeypointGate()(torch.ones(2, 4), torch.ones(2, 4), torch.ones(2), progress=1.0, target_weight=1.0)


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    take_step()
    fit_pose.run(options)
    model = hamipose.load(Path(options["out"]) / "checkpoints/last.ckpt")
    image = next((Path(options["dots"]) / "dark/images").glob("*.png"))
    people = model.predict([str(image)])
    assert people[0].keypoints_px.shape == (16, 2)
    assert cv2.imread(str(image)) is not None
    for extra, (main, arguments) in COMMANDS.items():
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            status = main(arguments)
        (line,) = errors.getvalue().splitlines()
        assert status == 2, line
        assert line.startswith("error: "), line
        assert line.endswith(f"which is not installed: pip install 'hamipose[{extra}]'"), line
        print(line)

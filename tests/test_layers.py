"""Imports point down only. docs/architecture.md draws the rooms; a new module must be given its floor here."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOOR = {
    # hamipose: module or package → floor
    "hamipose": 0,
    "hamipose.types": 0,
    "hamipose.skeletons": 0,
    "hamipose.errors": 0,
    "hamipose.keypoint_names": 0,
    "hamipose.precision": 0,
    "hamipose.heatmaps": 1,
    "hamipose.io": 1,
    "hamipose.affine": 1,
    "hamipose.sampling": 1,
    "hamipose.start_warp": 1,
    "hamipose.losses": 1,
    "hamipose.gating": 1,
    "hamipose.aggregation": 1,
    "hamipose.optim": 1,
    "hamipose.draw": 1,
    "hamipose.metrics": 2,
    "hamipose.models": 2,
    "hamipose.running": 2,
    "hamipose.synthetic": 2,
    "hamipose.data": 3,
    "hamipose.data.safe_pickle": 1,
    "hamipose.methods": 4,
    "hamipose.inference": 5,
    "hamipose.report": 5,
    "hamipose.run_page": 5,
    "hamipose.tables": 5,
    "hamipose.adapt": 6,
    "hamipose.demo": 6,
    "hamipose.app": 6,
    "hamipose.app.serving": 2,
    "hamipose.cli": 6,
    "hamipose.cli.application": 2,
    "hamipose.cli.arguments": 2,
    "hamipose.cli.build": 2,
    "hamipose.cli.data_set": 2,
    "hamipose.cli.front_door": 2,
    "hamipose.cli.inherit": 2,
    "hamipose.cli.parser": 2,
    "hamipose.cli.run_files": 2,
    "hamipose.__main__": 7,
    # meshtto
    "meshtto": 0,
    "meshtto.types": 0,
    "meshtto.joints": 0,
    "meshtto.l1": 0,
    "meshtto.camera": 1,
    "meshtto.losses": 1,
    "meshtto.procrustes": 1,
    "meshtto.test_time": 1,
    "meshtto.metrics": 2,
    "meshtto.body": 2,
    "meshtto.regressors": 2,
    "meshtto.data": 3,
    "meshtto.evaluation": 3,
    "meshtto.methods": 4,
    "meshtto.predict": 5,
    "meshtto.app": 6,
    "meshtto.experiments": 5,
    "meshtto.training": 5,
    "meshtto.cli": 6,
    "meshtto.__main__": 7,
}

#: The highest floor of hamipose that meshtto may use: data, but no pose method.
SHARED_FLOOR = 3

#: What meshtto uses from above it: one module of its own, which asks a pose model for 2D evidence, and what it asks.
SHARED_ABOVE = {"meshtto.predict.pose_evidence": "hamipose.inference.predictor"}

#: Who may import what from outside.
RESERVED = {
    "lightning": ("hamipose.data.datamodule", "hamipose.methods", "hamipose.running", "hamipose.cli", "meshtto"),
    "albumentations": ("hamipose.data.views",),
    "anny": ("hamipose.synthetic", "meshtto.body"),
    "warp": ("hamipose.synthetic", "hamipose.sampling", "hamipose.start_warp"),
    "smplx": ("meshtto.body",),
    "wandb": (),
    "wandb_workspaces": ("hamipose.cli.dashboard",),
    "ai_edge_litert": (),
    "gradio": ("hamipose.app.serving",),
    "onnxruntime": ("hamipose.models.pretrained.onnx_pose", "hamipose.inference.export"),
    "transformers": ("hamipose.models.pretrained.vitpose",),
    "torchjd": ("hamipose.aggregation",),
    "jsonargparse": ("hamipose.cli", "meshtto.cli"),
}


def modules() -> dict[str, Path]:
    found = {}
    for package in ("hamipose", "meshtto"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def floor(module: str) -> int:
    """The floor of the nearest room that is drawn."""
    name = module
    while name not in FLOOR or (name in ("hamipose", "meshtto") and name != module):
        assert "." in name, f"{module} has no floor: add it to FLOOR in {Path(__file__).name}"
        name = name.rpartition(".")[0]
    return FLOOR[name]


def imports(path: Path, module: str) -> set[str]:
    known = modules()
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            found |= {f"{base}.{a.name}" if f"{base}.{a.name}" in known else base for a in node.names}
    return found


def within(module: str, room: str) -> bool:
    return module == room or module.startswith((room + ".", room + "_"))


@pytest.mark.parametrize("module", modules())
def test_imports_point_down(module: str):
    for imported in imports(modules()[module], module):
        top = imported.split(".")[0]
        if top in ("hamipose", "meshtto"):
            assert not (module.startswith("hamipose") and top == "meshtto"), f"{module} imports {imported}"
            assert floor(imported) <= floor(module), f"{module} imports {imported}, which is a floor above it"
            shared = top == "meshtto" or module.startswith("hamipose") or floor(imported) <= SHARED_FLOOR
            shared = shared or SHARED_ABOVE.get(module) == imported
            assert shared, f"{module} imports {imported}; meshtto shares hamipose's floors up to {SHARED_FLOOR}"
        elif top in RESERVED:
            rooms = RESERVED[top]
            assert any(within(module, room) for room in rooms), f"{module} imports {top}; only {rooms} may"


def test_exceptions_are_needed():
    for module, imported in SHARED_ABOVE.items():
        assert imported in imports(modules()[module], module), f"{module} no longer imports {imported}"
        assert floor(imported) > SHARED_FLOOR


def test_importing_the_package_is_light():
    code = "import sys, hamipose; print([m for m in ('lightning', 'anny', 'warp', 'torch') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_a_wrong_import_would_be_found(tmp_path: Path):
    path = tmp_path / "heatmaps.py"
    path.write_text("from hamipose.methods import base\nfrom .data import views\nimport lightning as L\n")
    assert imports(path, "hamipose.heatmaps") >= {"lightning", "hamipose.methods.base", "hamipose.data.views"} - {
        name for name in ("hamipose.methods.base", "hamipose.data.views") if name not in modules()
    }

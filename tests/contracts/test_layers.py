"""Imports point down only, by folder. docs/architecture.md draws the order; a new folder is added to it here."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Folders and single modules of each package, lowest first. A module may import its own entry and those before it.
HAMIPOSE = (
    "errors", "extras", "version", "precision", "types", "skeletons", "keypoint_names",
    "io", "config", "geometry", "heatmaps", "losses", "metrics", "viz", "optim", "gating",
    "engine", "command_line", "models", "synthetic", "data",
    # The upper half knows methods and papers.
    "evaluation", "methods", "training", "inference", "adapt", "app", "experiments", "demo", "cli", "__main__",
)  # fmt: skip
MESHTTO = (
    "genders", "types", "joints", "l1", "camera", "procrustes", "losses", "test_time", "metrics", "body", "regressors",
    "data", "evaluation", "methods", "training", "predict", "app", "experiments", "cli", "__main__",
)  # fmt: skip
ORDER = {"hamipose": HAMIPOSE, "meshtto": MESHTTO}

#: The last entry of hamipose that meshtto may use: data, but no pose method.
SHARED = HAMIPOSE.index("data")

#: The module of meshtto that asks a pose model for 2D evidence may import hamipose.inference, too.
EVIDENCE = "meshtto.predict.pose_evidence"

#: Which folders may import a library.
RESERVED = {
    "lightning": ("hamipose.engine", "hamipose.command_line", "hamipose.data.base_datamodule", "hamipose.evaluation",
                  "hamipose.methods", "hamipose.training", "meshtto"),
    "albumentations": ("hamipose.data.views",),
    "anny": ("hamipose.synthetic", "meshtto.body"),
    "warp": ("hamipose.synthetic",),
    "smplx": ("meshtto.body",),
    "wandb": (),
    "wandb_workspaces": ("hamipose.viz.workspace",),
    "ai_edge_litert": (),
    "gradio": ("hamipose.viz.serving",),
    "onnxruntime": ("hamipose.models.pretrained.onnx_pose", "hamipose.inference.export"),
    "transformers": ("hamipose.models.pretrained.vitpose",),
    "torchjd": ("hamipose.gating.aggregators",),
    "jsonargparse": ("hamipose.command_line", "hamipose.config", "hamipose.cli", "meshtto.cli"),
}  # fmt: skip


@functools.cache
def modules() -> dict[str, Path]:
    found = {}
    for package in ("hamipose", "meshtto"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def layer(module: str) -> int:
    """Return the place of a module's folder in its package's order."""
    package, *names = module.split(".")
    if not names:
        return -1  # the package itself: importing it loads nothing but the version
    assert names[0] in ORDER[package], f"{module}: add its folder to the order in {Path(__file__).name}"
    return ORDER[package].index(names[0])


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


def within(module: str, folder: str) -> bool:
    return module == folder or module.startswith(folder + ".")


@pytest.mark.parametrize("module", modules())
def test_imports_point_down(module: str):
    package = module.split(".")[0]
    for imported in imports(modules()[module], module):
        top = imported.split(".")[0]
        if top == package:
            assert "." in imported or module == f"{package}.__main__", f"{module} imports the package's root"
            if module != package:
                assert layer(imported) <= layer(module), f"{module} imports {imported}, which is above it"
        elif top == "hamipose":
            evidence = module == EVIDENCE and within(imported, "hamipose.inference")
            assert layer(imported) <= SHARED or evidence, f"{module} imports {imported}; allowed: up to hamipose.data"
        elif top == "meshtto":
            raise AssertionError(f"{module} imports {imported}")
        elif top in RESERVED:
            folders = RESERVED[top]
            assert any(within(module, folder) for folder in folders), f"{module} imports {top}; only {folders} may"


def test_every_folder_exists():
    for package, order in ORDER.items():
        found = {p.stem for p in (ROOT / package).iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
        assert set(order) == found - {"__init__", "__pycache__"}


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

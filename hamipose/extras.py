"""Optional dependencies: which extra installs a package, and one error message for a missing package."""

import importlib.util
import re
import sys

from hamipose.errors import UserError

__all__ = ["is_installed", "missing_extra", "require_packages"]

#: The extra of ``pyproject.toml`` that installs a package, by the name that is imported.
_EXTRAS = {
    "anny": "synthetic",
    "cdflib": "h36m",
    "gradio": "app",
    "h5py": "h36m",
    "joblib": "synthetic",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "pillow_heif": "heic",
    "roma": "mesh",
    "smplx": "mesh",
    "submitit": "cluster",
    "torchjd": "torchjd",
    "transformers": "vitpose",
    "trimesh": "mesh",
    "wandb": "wandb",
    "wandb_workspaces": "wandb",
    "warp": "synthetic",
}


def is_installed(package: str) -> bool:
    """Return whether a top-level package can be imported, without importing it.

    >>> is_installed("torch"), is_installed("a_package_that_does_not_exist")
    (True, False)
    """
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


def require_packages(feature: str, *packages: str) -> None:
    """Check that optional packages are installed; call it before they are imported.

    Args:
        feature: the subject of the error message.
        packages: names that are imported.

    Raises:
        UserError: A package is not installed. The message names the extra that installs it.

    >>> require_packages("rendering people", "anny", "warp")
    """
    for package in packages:
        if not is_installed(package):
            raise UserError(_message(feature, package))


def missing_extra(error: ModuleNotFoundError) -> UserError | None:
    """Return the error message for a package that another library failed to import.

    Args:
        error: error of the import.

    Returns:
        The error that names the extra, or None if no extra installs the package.

    >>> print(missing_extra(ModuleNotFoundError("No module named 'wandb'", name="wandb")))
    this command needs wandb, which is not installed: pip install 'hamipose[wandb]'
    """
    names = [error.name.partition(".")[0]] if error.name else re.findall(r"'(\w+)", str(error))
    return next((UserError(_message("this command", name)) for name in names if name in _EXTRAS), None)


def _message(feature: str, package: str) -> str:
    return f"{feature} needs {package}, which is not installed: pip install 'hamipose[{_EXTRAS[package]}]'"

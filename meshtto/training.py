"""Run `fit`, `validate`, `test` and `predict` of mesh methods from a config."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hamipose.command_line.lightning import Application, run_application
from meshtto.data import MeshData
from meshtto.methods.base import MeshMethod
from meshtto.methods.checkpoint import read_checkpoint

__all__ = ["MeshCLI", "run"]

_UNITS = {
    "mpjpe": "MPJPE, mm",
    "pa_mpjpe": "PA-MPJPE, mm",
    "pve": "PVE, mm",
    "error_2d": "2D, px",
    "moved": "vertices moved, mm",
}


class MeshCLI(Application):
    """Lightning's command line for mesh methods and data.

    Args:
        arguments: the command line.
    """

    def __init__(self, arguments: list[str]):
        super().__init__(MeshMethod, MeshData, "val/pa_mpjpe", arguments)

    def read_checkpoint(self, path: str | Path) -> dict[str, Any]:
        """See :func:`read_checkpoint`."""
        return read_checkpoint(path)

    def print_scores(self) -> None:
        """Print a table of errors after each adaptation step for each set, and the protocol."""
        console = Console()
        for name, results in self.model.results["sets"].items():
            curves = results["against_steps"]
            table = Table(name, *(_UNITS[key] for key in curves))
            for step, row in enumerate(zip(*curves.values(), strict=True)):
                table.add_row(f"{step} steps", *(f"{value:.2f}" for value in row))
            console.print(table)
            people = results["people"]
            if people["diverged"]:
                console.print(
                    f"  {people['diverged']} of {people['recovered']} adaptations diverged and were undone; lower lr, "
                    "or set clip_norm, in model.test_time.phases"
                )
        for key, value in self.model.results["protocol"].items():
            console.print(f"  {key}: {value}", highlight=False)


def run(arguments: list[str]) -> MeshCLI:
    """Run a verb, see :func:`run_application`."""
    return run_application(MeshCLI, arguments)

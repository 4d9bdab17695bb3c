"""The verb `dashboard`: a Weights & Biases workspace with panels for everything that a run of mesh recovery logs."""

from collections.abc import Sequence
from typing import Any

from hamipose.command_line.arguments import Arguments, at_least

__all__ = ["build", "main"]

_EXAMPLES = """\
examples
  python -m meshtto dashboard --entity me --project meshes
  python -m meshtto dashboard --entity me --project meshes --test-sets 3dpw h36m --steps 14

Needs an account (`wandb login`) and the package wandb-workspaces (pip install 'hamipose[wandb]').
"""

#: Logged name → title.
_ERRORS = {
    "mpjpe": "MPJPE, mm",
    "pa_mpjpe": "PA-MPJPE, mm",
    "pve": "PVE, mm",
    "error_2d": "2D error, px",
    "moved": "vertices moved, mm",
}

#: The errors that are logged after every step of adaptation.
_STEP_ERRORS = ("mpjpe", "pa_mpjpe")


def build(entity: str, project: str, test_sets: Sequence[str] = (), steps: int = 5) -> Any:
    """Return the workspace, not saved.

    Args:
        entity: user or team.
        project: project of the runs.
        test_sets: names of the sets in ``data.test``.
        steps: number of adaptation steps at test time.

    Returns:
        ``wandb_workspaces.workspaces.Workspace``.

    Raises:
        UserError: the package is not installed.
    """
    from hamipose.viz.workspace import WorkspaceBuilder

    builder = WorkspaceBuilder()
    datasets = ["val", *(f"test/{name}" for name in test_sets)]
    builder.add_section(
        "Training",
        [
            builder.line_plot("loss", ["train/loss"], log_y=True),
            builder.line_plot("loss of the auxiliary network", ["train/auxiliary"], log_y=True),
            builder.line_plot("learning rate", ["train/lr"]),
            builder.line_plot("gradient norm", ["train/gradient_norm"]),
            builder.line_plot("diverged inner steps", ["train/diverged"]),
        ],
    )
    builder.add_section(
        "Errors after the last adaptation step",
        [
            *(
                builder.line_plot(f"{dataset}: {title}", [f"{dataset}/{error}"])
                for dataset in datasets
                for error, title in _ERRORS.items()
            ),
            *(builder.line_plot(f"{dataset}: diverged adaptations", [f"{dataset}/diverged"]) for dataset in datasets),
        ],
    )
    builder.add_section(
        "Errors against adaptation steps",
        [
            builder.bar_plot(f"{dataset}: {_ERRORS[error]}", [f"{dataset}/{error}/after_{n}" for n in range(steps + 1)])
            for dataset in datasets
            for error in _STEP_ERRORS
        ],
    )
    builder.add_section("Meshes", builder.images(datasets))
    builder.add_comparison({f"{dataset}: PA-MPJPE": f"{dataset}/pa_mpjpe" for dataset in datasets})
    return builder.build(entity, project, "val/pa_mpjpe")


def main(arguments: list[str]) -> None:
    """Build the workspace and save it to an account.

    Args:
        arguments: the command line after the verb.
    """
    description = "Save a workspace to Weights & Biases whose panels explain a run."
    parser = Arguments("python -m meshtto dashboard", description=description, epilog=_EXAMPLES)
    parser.add_argument("--entity", required=True, help="user or team of W&B")
    parser.add_argument("--project", required=True, help="project of the runs")
    parser.add_argument("--test-sets", nargs="*", default=[], metavar="SET", help="names of the sets in data.test")
    parser.add_argument("--steps", type=at_least(0), default=5, help="adaptation steps at test time; default: 5")
    options = parser.parse_args(arguments)
    from hamipose.viz.workspace import save_workspace

    save_workspace(build(options.entity, options.project, options.test_sets, options.steps))

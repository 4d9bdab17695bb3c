"""The verb `dashboard`: a Weights & Biases workspace with panels for everything that a run of 2D pose logs."""

from collections.abc import Sequence
from typing import Any

from hamipose.command_line.arguments import Arguments
from hamipose.errors import UserError
from hamipose.skeletons import SKELETONS, Skeleton

__all__ = ["build", "main"]

_EXAMPLES = """\
examples
  python -m hamipose dashboard --entity me --project hamipose
  python -m hamipose dashboard --entity me --project hands --skeleton hand21 --test-sets photos

Needs an account (`wandb login`) and the package wandb-workspaces (pip install 'hamipose[wandb]').
"""


def build(entity: str, project: str, skeleton: Skeleton, test_sets: Sequence[str] = ()) -> Any:
    """Return the workspace, not saved.

    Args:
        entity: user or team.
        project: project of the runs.
        skeleton: skeleton of the runs, with a curve per keypoint.
        test_sets: names of the sets in ``data.test``.

    Returns:
        ``wandb_workspaces.workspaces.Workspace``.

    Raises:
        UserError: the package is not installed.
    """
    from hamipose.evaluation.score_metrics import METRICS, ScoreName
    from hamipose.viz.workspace import WorkspaceBuilder

    builder = WorkspaceBuilder()
    plot = builder.line_plot
    datasets = ["val", *(f"test/{name}" for name in test_sets)]

    def per_keypoint(name: str) -> list[str]:
        return [f"train/{name}/{keypoint}" for keypoint in skeleton.keypoints]

    builder.add_section(
        "Losses",
        [
            plot("source", ["train/source_loss"], log_y=True),
            plot("target (distance from the teacher)", ["train/target_loss"], log_y=True),
            plot("confidence of the teacher", ["train/confidence"]),
            plot("learning rate", ["train/lr"]),
            plot("gradient norm", ["train/gradient_norm"]),
            plot("distance of the delivered BatchNorm statistics from the source's", ["train/statistics_shift"]),
        ],
    )
    builder.add_section(
        "Conflict per keypoint",
        [
            plot("fraction of steps in conflict", ["train/conflict"]),
            plot("per keypoint", per_keypoint("conflict")),
            plot("cosine", ["train/cosine"]),
        ],
    )
    builder.add_section(
        "Gate openness",
        [plot("mean", ["train/openness"]), plot("per keypoint", per_keypoint("openness"))],
        is_open=False,
    )
    builder.add_section(
        "Weights w_k",
        [
            plot("mean", ["train/weight"]),
            plot("per keypoint", per_keypoint("weight")),
            plot("fraction below 0", ["train/weight_negative"]),
        ],
        is_open=False,
    )
    builder.add_section(
        "Energy H = T + V",
        [
            plot("H and its parts T and V", ["train/hamiltonian", "train/kinetic", "train/potential"]),
            plot("drift of H", ["train/hamiltonian"]),
            plot("step size of the last layer", ["train/head_step_rms"]),
        ],
    )
    for metric in METRICS:
        title = metric.title.partition(",")[0]
        panels = [
            plot(
                f"{dataset}: {metric.label(key)}, {network}",
                [str(ScoreName(dataset, network, key, group)) for group in ("all", *skeleton.groups)],
            )
            for dataset in datasets
            for key in metric.keys
            for network in ("teacher", "student")
        ]
        builder.add_section(f"{title} per keypoint group", panels)
    builder.add_section("Predictions", builder.images(datasets))
    headline = METRICS[0]
    title = headline.title.partition(",")[0]
    builder.add_comparison({f"{dataset}: {title}": headline.headline(dataset) for dataset in datasets})
    return builder.build(entity, project, headline.headline("val"))


def main(arguments: list[str]) -> None:
    """Build the workspace and save it to an account.

    Args:
        arguments: the command line after the verb.
    """
    parser = Arguments(
        "python -m hamipose dashboard",
        description="Save a workspace to Weights & Biases whose panels explain a run.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--entity", required=True, help="user or team of W&B")
    parser.add_argument("--project", required=True, help="project of the runs")
    parser.add_argument("--skeleton", default="body16", help=f"skeleton of the runs: {', '.join(SKELETONS)}")
    parser.add_argument("--test-sets", nargs="*", default=[], metavar="SET", help="names of the sets in data.test")
    options = parser.parse_args(arguments)
    if options.skeleton not in SKELETONS:
        raise UserError(f"--skeleton is {options.skeleton!r}; it must be one of {', '.join(SKELETONS)}")
    from hamipose.viz.workspace import save_workspace

    save_workspace(build(options.entity, options.project, SKELETONS[options.skeleton], options.test_sets))

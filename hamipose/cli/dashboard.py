"""The verb `dashboard`: a Weights & Biases workspace whose panels explain a run by the names that it logs."""

from collections.abc import Sequence
from typing import Any

from hamipose.command_line.arguments import Arguments
from hamipose.errors import UserError
from hamipose.extras import require_packages
from hamipose.skeletons import SKELETONS, Skeleton

__all__ = ["build", "main"]

_EXAMPLES = """\
examples
  python -m hamipose dashboard --entity me --project hamipose
  python -m hamipose dashboard --entity me --project hands --skeleton hand21 --report photos

It wants an account (`wandb login`) and the package wandb-workspaces (pip install 'hamipose[wandb]').
"""

_THRESHOLDS = ("0.05", "0.1")
_MESH_ERRORS = ("mpjpe", "pa_mpjpe", "pve", "error_2d")


def _packages() -> tuple[Any, Any]:
    require_packages("dashboard", "wandb", "wandb_workspaces")
    import wandb_workspaces.reports.v2 as reports
    import wandb_workspaces.workspaces as workspaces

    return workspaces, reports


def build(entity: str, project: str, skeleton: Skeleton, sets: Sequence[str] = (), steps: int = 5) -> Any:
    """The workspace, not saved.

    Args:
        entity: user or team.
        project: of the runs.
        skeleton: the runs' keypoints: a line each.
        sets: names of the held-out target sets in ``data.test``.
        steps: of adaptation at test time, of meshtto's runs.

    Returns:
        ``wandb_workspaces.workspaces.Workspace``.

    Raises:
        UserError: the package is not installed.
    """
    ws, wr = _packages()
    scored = ["val", *(f"test/{name}" for name in sets)]

    def lines(title: str, keys: Sequence[str], **options: Any) -> Any:
        return wr.LinePlot(title=title, x="Step", y=list(keys), **options)

    def every(name: str) -> list[str]:
        return [f"train/{name}/{keypoint}" for keypoint in skeleton.keypoints]

    def group(title: str, panels: list[Any], is_open: bool = True) -> Any:
        return ws.Section(name=title, panels=panels, is_open=is_open)

    pck = [
        lines(f"{where}: {threshold}, {network}", keys)
        for where in scored
        for threshold in _THRESHOLDS
        for network in ("teacher", "student")
        if (keys := [f"{where}/{network}/pck@{threshold}{part}" for part in ("", *(f"/{g}" for g in skeleton.groups))])
    ]
    # A curve is the mean of all runs of a method or transfer, its band their standard deviation: over the seeds.
    spread = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
    comparison = [
        lines(f"{where}: PCK by {words}", [f"{where}/pck"], groupby=key, **spread)
        for where in scored
        for words, key in (("method", "JobType"), ("transfer", "Group"))
    ]
    sections = [
        group(
            "Losses",
            [
                lines("source", ["train/source_loss"], log_y=True),
                lines("target (distance from the teacher)", ["train/target_loss"], log_y=True),
                lines("teacher's confidence", ["train/confidence"]),
                lines("learning rate", ["train/lr"]),
                lines("gradient's norm", ["train/gradient_norm"]),
                lines("distance of the delivered BatchNorm statistics from the source's", ["train/statistics_shift"]),
            ],
        ),
        group(
            "Conflict by keypoint",
            [
                lines("share of steps in conflict", ["train/conflict"]),
                lines("by keypoint", every("conflict")),
                lines("cosine", ["train/cosine"]),
            ],
        ),
        group(
            "Gate openness", [lines("mean", ["train/openness"]), lines("by keypoint", every("openness"))], is_open=False
        ),
        group(
            "Weights w_k",
            [
                lines("mean", ["train/weight"]),
                lines("by keypoint", every("weight")),
                lines("share below 0", ["train/weight_negative"]),
            ],
            is_open=False,
        ),
        group(
            "Energy H = T + V",
            [
                lines("H and its parts T and V", ["train/hamiltonian", "train/kinetic", "train/potential"]),
                lines("drift of H", ["train/hamiltonian"]),
                lines("last layer's movement", ["train/head_step_rms"]),
            ],
        ),
        group("PCK by joint group", pck),
        group(
            "Predictions",
            [wr.MediaBrowser(title=where, media_keys=[f"images/{where}"], num_columns=1) for where in scored],
        ),
    ]
    mesh = [
        *(lines(f"{error} after the last step", [f"val/{error}"]) for error in _MESH_ERRORS),
        *(
            wr.BarPlot(
                title=f"{error} against steps of adaptation",
                metrics=[f"val/{error}/after_{n}" for n in range(steps + 1)],
                orientation="v",
            )
            for error in _MESH_ERRORS[:2]
        ),
    ]
    sections += [
        group("Meshes (meshtto): errors", mesh, is_open=False),
        group("Comparison of runs", [*comparison, wr.RunComparer(diff_only="split")]),
    ]
    return ws.Workspace(
        entity=entity,
        project=project,
        name="What happens in a run",
        sections=sections,
        # A group is a transfer, a job type in it a method, its runs the seeds: docs/dashboards.md names them so.
        runset_settings=ws.RunsetSettings(
            groupby=[ws.Metric("Group"), ws.Metric("JobType")],
            pinned_columns=["run:displayName", "run:group", "run:jobType", "run:tags", "summary:val/pck"],
        ),
    )


def main(arguments: list[str]) -> None:
    """Build the workspace and save it to an account.

    Args:
        arguments: what follows the verb.
    """
    parser = Arguments(
        "python -m hamipose dashboard",
        description="Save a workspace to Weights & Biases whose panels explain a run.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--entity", required=True, help="user or team of W&B")
    parser.add_argument("--project", required=True, help="project that the runs are logged to")
    parser.add_argument("--skeleton", default="body16", help=f"of the runs: {', '.join(SKELETONS)}")
    parser.add_argument("--report", nargs="*", default=[], metavar="SET", help="names of the sets in data.test")
    parser.add_argument("--steps", type=int, default=5, help="meshtto's steps of adaptation")
    given = parser.parse_args(arguments)
    if given.skeleton not in SKELETONS:
        raise UserError(f"--skeleton is {given.skeleton!r}, expected one of {', '.join(SKELETONS)}")
    if given.steps < 0:
        raise UserError(f"--steps is {given.steps}, expected at least 0")
    workspace = build(given.entity, given.project, SKELETONS[given.skeleton], given.report, given.steps)
    try:
        workspace.save()
    except Exception as error:  # no login, no network, no such project: wandb and its HTTP library each have their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"the workspace cannot be saved to {given.entity}/{given.project}: {reason}") from None
    print(f'workspace "{workspace.name}" saved to {given.entity}/{given.project}')  # its address, wandb tells itself

"""Weights & Biases workspaces for both packages: panels, sections, and saving a workspace to an account."""

from collections.abc import Mapping, Sequence
from typing import Any

from hamipose.errors import UserError
from hamipose.extras import require_packages

__all__ = ["WorkspaceBuilder", "save_workspace"]


class WorkspaceBuilder:
    """Builds a workspace section by section.

    A curve is a logged name. Runs are compared by the names that docs/dashboards.md gives them: their group is the
    transfer or data set, their job type the method, and the runs of a job type are the seeds.

    Raises:
        UserError: wandb-workspaces is not installed.
    """

    def __init__(self) -> None:
        require_packages("dashboard", "wandb_workspaces", "wandb")
        import wandb_workspaces.reports.v2 as panels
        import wandb_workspaces.workspaces as workspaces

        self._panels, self._workspaces = panels, workspaces
        self._sections: list[Any] = []

    def line_plot(self, title: str, keys: Sequence[str], **options: Any) -> Any:
        """Return a panel with a curve per logged name.

        Args:
            title: title of the panel.
            keys: logged names.
            options: further options of ``LinePlot``.
        """
        return self._panels.LinePlot(title=title, x="Step", y=list(keys), **options)

    def bar_plot(self, title: str, keys: Sequence[str]) -> Any:
        """Return a panel with a vertical bar per logged name."""
        return self._panels.BarPlot(title=title, metrics=list(keys), orientation="v")

    def images(self, names: Sequence[str]) -> list[Any]:
        """Return a panel per evaluation set with its logged images."""
        browser = self._panels.MediaBrowser
        return [browser(title=name, media_keys=[f"images/{name}"], num_columns=1) for name in names]

    def add_section(self, title: str, panels: Sequence[Any], is_open: bool = True) -> None:
        """Add a section of panels."""
        self._sections.append(self._workspaces.Section(name=title, panels=list(panels), is_open=is_open))

    def add_comparison(self, keys: Mapping[str, str]) -> None:
        """Add a section that compares runs: mean and standard deviation over the seeds of each method and transfer.

        Args:
            keys: title → logged name.
        """
        spread = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
        panels = [
            self.line_plot(f"{title} by {label}", [key], groupby=group, **spread)
            for title, key in keys.items()
            for label, group in (("method", "JobType"), ("transfer", "Group"))
        ]
        self.add_section("Comparison of runs", [*panels, self._panels.RunComparer(diff_only="split")])

    def build(self, entity: str, project: str, summary: str) -> Any:
        """Return the workspace, not saved.

        Args:
            entity: user or team.
            project: project of the runs.
            summary: logged name that the list of runs shows.

        Returns:
            ``wandb_workspaces.workspaces.Workspace``.
        """
        ws = self._workspaces
        settings = ws.RunsetSettings(
            groupby=[ws.Metric("Group"), ws.Metric("JobType")],
            pinned_columns=["run:displayName", "run:group", "run:jobType", "run:tags", f"summary:{summary}"],
        )
        name = "What happens in a run"
        return ws.Workspace(
            entity=entity, project=project, name=name, sections=self._sections, runset_settings=settings
        )


def save_workspace(workspace: Any) -> None:
    """Save a workspace to its account.

    Raises:
        UserError: it cannot be saved, for example without login or network.
    """
    place = f"{workspace.entity}/{workspace.project}"
    try:
        workspace.save()
    except Exception as error:  # wandb and its HTTP library raise many types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"the workspace cannot be saved to {place}: {reason}") from None
    print(f'workspace "{workspace.name}" saved to {place}')  # wandb prints its address

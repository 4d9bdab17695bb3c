"""A table's page: what was measured on what, by which protocol, at which cost, and how to have it again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hamipose.engine.budget import Budget
from hamipose.engine.provenance import machine, versions
from hamipose.engine.runs import Run, finished, made_by, wall_seconds
from hamipose.errors import UserError
from hamipose.experiments.plot import bars, lines
from hamipose.experiments.rows import Plan, cell_label
from hamipose.experiments.runs import Cell, Scale
from hamipose.experiments.table import PROTOCOLS, Score, collect, grid, markdown, write_csv
from hamipose.experiments.transfers import Transfer, named_sets
from hamipose.io.atomic_file import write_bytes, write_text

__all__ = ["write"]

_PROTOCOL = (
    "Protocol `strict`: PCK, the share of labeled keypoints found within 5 % of the side of the crop (@0.1: 10 %), "
    "sub-pixel decoding, every labeled keypoint once, mean over keypoints; `all` is the 12 limb joints of a body, the "
    "21 of a hand. No target label touches training or choice. `last`: the last epoch. `source-selected`: the epoch "
    "with the best PCK on held-out source images. `oracle-selected`: the epoch that the target's test labels would "
    "choose, which nobody has; it is a bound, **no result**. Scores are those of the network that a user gets (the "
    "teacher where there is one); the CSV has the others. ± is the standard deviation over seeds. Source validation is "
    "measured with the source's BatchNorm statistics. `Source only, target statistics` is the source-only network with "
    "the statistics of 512 unlabeled target images: what a method gains over that row is not due to statistics alone."
)


def title(plan: Plan, scale: Scale) -> str:
    """Says at which scale, so that no small figure stands under a paper's heading."""
    word = f"{plan.name[:-1].capitalize()} {plan.name[-1]}"
    if scale == "paper":
        return f"{word} at the paper's scale: {plan.title}"
    return f"{word} at a small scale, NOT the paper's data, network or budget: {plan.title}"


def write(
    plan: Plan,
    scale: Scale,
    cells: Sequence[Cell],
    *,
    extra: Sequence[Score],
    budget: Budget,
    sets: Mapping[str, Mapping[str, Any]],
    command: str,
    out: Path,
) -> Path:
    """Write Markdown, CSV and a plot; gives the Markdown file.

    Args:
        plan: the table.
        scale: "small" or "paper".
        cells: of ``compose``.
        extra: scores of systems whose predictions were evaluated.
        budget: of the small scale.
        sets: transfer's name → its data sets.
        command: what made the page.
        out: folder to write to.
    """
    paper = scale == "paper"
    scores, notes = collect(cells)
    scores = [*scores, *extra]
    name = f"{plan.name}_{scale}"
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / f"{name}.csv", scores)
    transfers = list(dict.fromkeys(cell.transfer for cell in cells))
    shown = [t for t in transfers if any((s.transfer, s.report) == (t.name, t.report) for s in scores)]
    parts = [f"# {title(plan, scale)}", _what(scale, budget)]
    for transfer in transfers:
        own = [cell for cell in cells if cell.transfer == transfer]
        parts.append(f"## {transfer.title[0].upper()}{transfer.title[1:]}")
        if plan.number == 5:
            parts.append(grid(transfer, scores, cell_label, paper=paper))
        for protocol, first in PROTOCOLS.items():
            here = any(s.transfer == transfer.name and f"{first}pck@0.05" in s.values for s in scores)
            if here or (protocol == "strict" and plan.number != 5):
                parts.append("" if protocol == "strict" else f"Protocol `paper`, {protocol}:")
                parts.append(markdown(plan, transfer, own, scores, paper=paper, protocol=protocol))
    if plan.curves or shown:
        png = lines(plan.curves, cells) if plan.curves else bars(shown, scores)
        write_bytes(out / f"{name}.png", png)
        parts.append(f"![{plan.title}]({name}.png)")
    if notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    parts += ["## Protocol", _PROTOCOL, "## Data", _counts(transfers, sets)]
    parts += ["## Provenance", _provenance(cells), f"Made by `{command}`.", "Commands of the runs of the first seed:"]
    firsts = [cell.runs[min(cell.runs)] for cell in cells if cell.runs]
    wanted = dict.fromkeys([*(run.after for run in firsts if run.after), *firsts])
    parts.append("```\n" + "\n".join(run.command for run in wanted if finished(run)) + "\n```")
    path = out / f"{name}.md"
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")
    return path


def _what(scale: Scale, budget: Budget) -> str:
    if scale == "paper":
        return "Each method with the recipe of its config; the paper's figures stand beside ours where it prints any."
    return (
        f"Every row starts from the same network (one for each seed), which has had {budget.start} steps of source "
        f"alone, and is given {budget.steps} further steps in four epochs. An empty cell was not run."
    )


def _counts(transfers: Sequence[Transfer], sets: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| transfer | role | set | images |", "|---|---|---|---|"]
    for name in dict.fromkeys(t.name for t in transfers):
        try:
            found = [(role, kind, str(len(built))) for role, kind, built in named_sets(sets.get(name, {}))]
        except (UserError, OSError):
            found = [("all", "", "not at hand")]
        lines += [f"| {name} | {role} | {kind} | {count} |" for role, kind, count in found]
    return "\n".join(lines)


def _provenance(cells: Sequence[Cell]) -> str:
    runs: dict[str, list[Run]] = {}
    for cell in cells:
        for run in cell.runs.values():
            if finished(run):
                runs.setdefault(cell.row.label, []).append(run)
    revisions = sorted({made_by(run) for group in runs.values() for run in group} - {""})
    lines = [f"{versions()}. Machine: {machine()}. Runs made by revision {', '.join(revisions) or 'none'}.", ""]
    lines += ["| row | steps | wall time of each seed's run, s | s a step, evaluation included |", "|---|---|---|---|"]
    for label, group in runs.items():
        timed = [wall_seconds(run) for run in dict.fromkeys(group)]
        steps, seconds = sum(t[0] for t in timed), sum(t[1] for t in timed)
        each = ", ".join(f"{t[1]:.0f}" for t in timed)
        lines.append(
            f"| {label} | {group[0].epochs * group[0].steps} | {each} | {seconds / steps if steps else 0:.2f} |"
        )
    return "\n".join(lines)

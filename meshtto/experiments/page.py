"""Write the table's page: errors before and after adaptation, with protocol, data and provenance."""

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hamipose.engine.budget import Budget
from hamipose.engine.provenance import machine, versions
from hamipose.engine.runs import Run, failure, finished, made_by, wall_seconds
from hamipose.engine.statistics import mean_and_spread
from hamipose.io.atomic_file import write_bytes, write_text
from hamipose.io.json_file import read_record
from meshtto.evaluation.plots import against_steps, per_joint
from meshtto.experiments.paper_results import PUBLISHED
from meshtto.experiments.rows import Line, Scale
from meshtto.experiments.runs import Cell

__all__ = ["Result", "collect", "title", "write"]

_ERRORS = {"mpjpe": "MPJPE", "pa_mpjpe": "PA-MPJPE", "pve": "PVE", "error_2d": "2D, px"}
_SHOWN_JOINTS = 4


@dataclass(frozen=True)
class Result:
    """The test of one table row with one seed on one set.

    Attributes:
        line: the table row.
        seed: the seed of its training.
        report: name of the set.
        curves: error → its values after 0, 1, 2 … steps; in mm, and in pixels of the crop for the 2D error.
        per_joint: joint → MPJPE before and after adaptation, in mm.
        people: number of adapted people and outcomes, if the test counted them.
        protocol: the protocol of the scores.
    """

    line: Line
    seed: int
    report: str
    curves: Mapping[str, Sequence[float]]
    per_joint: Mapping[str, Sequence[float]]
    people: Mapping[str, Any]
    protocol: Mapping[str, str]


def title(scale: Scale) -> str:
    """Return the page's title, which states the scale, so that small-scale numbers never look like the paper's."""
    if scale == "paper":
        return "Human mesh recovery at the paper's scale: test-time optimization inside training"
    return (
        "Human mesh recovery at a small scale, NOT the paper's data, networks or budget: test-time optimization inside "
        "training on the built-in body"
    )


def collect(cells: Sequence[Cell]) -> tuple[list[Result], list[str]]:
    """Return all available results, and notes on rows and on missing results."""
    results: list[Result] = []
    notes = [f"{cell.line.label}: {cell.line.note}" for cell in cells if cell.line.note]
    missing: dict[str, list[str]] = {}
    for cell in cells:
        if cell.missing:
            missing.setdefault(cell.missing, []).append(cell.line.label)
        for seed, test in cell.tests.items():
            reason = failure(test)
            if reason:
                missing.setdefault(reason, []).append(f"{cell.line.label} (seed {seed})")
                continue
            content = read_record(test.folder / test.scores, "sets", "protocol")
            for name, found in content["sets"].items():
                place, _, report = name.partition("/")
                if place == "test":
                    people = found.get("people") or {}
                    curves, joints = found["against_steps"], found["per_joint"]
                    results.append(Result(cell.line, seed, report, curves, joints, people, content["protocol"]))
    return results, [*notes, *(f"Empty: {', '.join(labels)}: {reason}" for reason, labels in missing.items())]


def _mean_curve(results: Sequence[Result], error: str) -> list[float]:
    return [statistics.fmean(values) for values in zip(*(r.curves[error] for r in results), strict=True)]


def _table(labels: Sequence[str], results: Sequence[Result], report: str, *, paper: bool) -> str:
    head = ["training, adaptation", "seeds", "people", "steps"]
    for name in _ERRORS.values():
        head += [f"{name} before", "after"]
    rows = ["| " + " | ".join([*head, "lowest PA-MPJPE (at step), not a result"]) + " |"]
    rows.append("|---|" + "---:|" * len(head))
    for label in labels:
        own = [r for r in results if r.line.label == label and r.report == report]
        cells = [str(len(own)) if own else "", _people(own), str(len(own[0].curves["mpjpe"]) - 1) if own else ""]
        for error in _ERRORS:
            cells += [mean_and_spread([r.curves[error][end] for r in own]) for end in (0, -1)]
        rows.append(f"| {label} | " + " | ".join([*cells, _lowest(own)]) + " |")
    for label, sets in PUBLISHED.items() if paper else ():
        printed = sets.get(report)
        if printed:
            values = [f"{printed[error]:.1f}" if error in printed else "" for error in ("mpjpe", "pa_mpjpe", "pve")]
            after = " | ".join(f" | {value}" for value in values)
            rows.append(f"| {label}, printed in the paper |  |  |  | {after} |  |  |  |")
    return "\n".join(rows)


def _people(results: Sequence[Result]) -> str:
    counts = {", ".join(f"{value} {name}" for name, value in r.people.items() if value) for r in results}
    return "; ".join(sorted(counts))


def _lowest(results: Sequence[Result]) -> str:
    """Return the lowest error over steps, which only test labels could select."""
    if not results:
        return ""
    curve = [value if math.isfinite(value) else math.inf for value in _mean_curve(results, "pa_mpjpe")]
    step = min(range(len(curve)), key=curve.__getitem__)
    return f"{curve[step]:.1f} ({step})"


def write(
    scale: Scale,
    cells: Sequence[Cell],
    *,
    budget: Budget,
    sets: Mapping[str, str],
    command: str,
    out: Path,
) -> Path:
    """Write Markdown, CSV and plots; returns the Markdown file.

    Args:
        scale: "small" or "paper".
        cells: result of :func:`~meshtto.experiments.runs.compose`.
        budget: budget of the small scale.
        sets: role → description of the set.
        command: the command that made the page.
        out: output folder.
    """
    results, notes = collect(cells)
    out.mkdir(parents=True, exist_ok=True)
    stem = f"meshtto_table1_{scale}"
    _write_csv(out / f"{stem}.csv", results)
    parts = [f"# {title(scale)}", _introduction(scale, budget)]
    labels = [cell.line.label for cell in cells]
    reports = list(dict.fromkeys(r.report for r in results)) or (["3dpw", "h36m"] if scale == "paper" else ["builtin"])
    for report in reports:
        parts += [f"## On {report}", _table(labels, results, report, paper=scale == "paper")]
        own = [r for r in results if r.report == report]
        if own:
            parts.append(_plots(own, out, f"{stem}_{report}"))
    if notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    if results:
        parts += ["## Protocol", _protocol(results)]
        parts.append("Means over people; ± is the standard deviation over seeds. Weights: those of the last step.")
    parts += ["## Data", "\n".join(f"- {role}: {what}" for role, what in sets.items())]
    parts += ["## Provenance", _provenance(cells), f"Made by `{command}`."]
    wanted = dict.fromkeys(run for cell in cells for run in _chain(cell))
    done = "\n".join(run.command for run in wanted if finished(run))
    parts += ["Commands of the runs of the first seed:", f"```\n{done}\n```"] if done else []
    path = out / f"{stem}.md"
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")
    return path


def _protocol(results: Sequence[Result]) -> str:
    """List what the scores depend on; name the rows where they differ, and always for evidence."""
    rows = []
    for key in dict.fromkeys(key for r in results for key in r.protocol):
        by_value: dict[str, dict[str, None]] = {}
        for r in results:
            by_value.setdefault(r.protocol.get(key, "not stated"), {})[r.line.label] = None
        named = key == "evidence" or len(by_value) > 1
        rows += [f"- {key}: {value}" + (f" ({'; '.join(of)})" if named else "") for value, of in by_value.items()]
    return "\n".join(rows)


def _plots(results: Sequence[Result], out: Path, stem: str) -> str:
    """Write plots of the curves of all adapted rows, and of the joints of the first rows."""
    by_line: dict[str, list[Result]] = {}
    for result in results:
        by_line.setdefault(result.line.label, []).append(result)
    curves = {
        label: {error: _mean_curve(own, error) for error in _ERRORS}
        for label, own in by_line.items()
        if len(own[0].curves["mpjpe"]) > 1
    }
    shown = {label: own[0].per_joint for label, own in list(by_line.items())[:_SHOWN_JOINTS]}
    write_bytes(out / f"{stem}_joints.png", per_joint(shown))
    text = f"![MPJPE per joint]({stem}_joints.png)"
    if curves:
        write_bytes(out / f"{stem}_curves.png", against_steps(curves))
        text = f"![errors against adaptation steps]({stem}_curves.png)\n\n{text}"
    return text


def _introduction(scale: Scale, budget: Budget) -> str:
    if scale == "paper":
        return "Each training follows the recipe of its config; the paper's numbers are listed too. Errors in mm."
    return (
        f"For each seed, one regression is trained for {budget.start} steps of 16 images; every training continues "
        f"from it for {budget.steps} steps, on the same images in the same order. Errors in mm, the 2D error (against "
        "the true projection) in pixels of the crop. An empty cell was not run."
    )


def _chain(cell: Cell) -> list[Run]:
    """Return the first seed's runs of a row, in order."""
    if not cell.tests:
        return []
    chain: list[Run] = [cell.tests[min(cell.tests)]]
    while chain[0].after is not None:
        chain.insert(0, chain[0].after)
    return chain


def _provenance(cells: Sequence[Cell]) -> str:
    trainings: dict[str, dict[Path, Run]] = {}
    revisions = set()
    for cell in cells:
        for test in cell.tests.values():
            revisions |= {made_by(test)} if finished(test) else set()
            run: Run | None = test.after
            while run is not None:
                if finished(run):
                    trainings.setdefault(run.folder.name, {})[run.folder] = run
                run = run.after
    made = ", ".join(sorted(revisions - {""})) or "none"
    rows = [f"{versions()}. Machine: {machine()}. Tests made by revision {made}.", ""]
    rows += ["| training | steps | wall time of each seed's run, s |", "|---|---:|---|"]
    for name, runs in trainings.items():
        first = next(iter(runs.values()))
        seconds = ", ".join(f"{wall_seconds(run)[1]:.0f}" for run in runs.values())
        rows.append(f"| {name} | {first.epochs * first.steps or wall_seconds(first)[0]} | {seconds} |")
    return "\n".join(rows)


def _write_csv(path: Path, results: Sequence[Result]) -> None:
    """Write a line for each test, set and step."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["training and adaptation", "seed", "set", "step", *_ERRORS])
        for r in results:
            for step, row in enumerate(zip(*(r.curves[error] for error in _ERRORS), strict=True)):
                writer.writerow([r.line.label, r.seed, r.report, step, *(f"{value:.4f}" for value in row)])

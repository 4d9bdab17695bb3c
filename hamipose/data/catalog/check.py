"""What there is of a data set, what is missing and where to get it: the report of `data check`, a screenful."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hamipose.data.catalog.entries import CatalogEntry, RequiredFiles, find_entry, is_prepared
from hamipose.data.catalog.shards import sha256
from hamipose.data.datasets.prepared import Prepared, read_split
from hamipose.data.splits import PROTOCOLS
from hamipose.errors import UserError

__all__ = ["CheckResult", "check", "check_files", "check_splits", "print_findings"]


@dataclass
class CheckResult:
    """One line of the report.

    Attributes:
        name: file pattern or split.
        found: what there is.
        missing: whether something is not there that a whole set has.
    """

    name: str
    found: str
    missing: bool


def check_files(root: Path, needed: tuple[RequiredFiles, ...]) -> list[CheckResult]:
    """What is there of each group of files."""
    findings = []
    for files in needed:
        counts = [sum(1 for _ in root.glob(pattern)) for pattern in files.pattern.split("|")]
        count = max(counts)
        expected = f" of {files.count}" if files.count is not None and count != files.count else ""
        state = f"{count}{expected}" if count else "none"
        findings.append(CheckResult(f"{files.pattern}  ({files.what})", state, count < (files.count or 1)))
    return findings


def check_splits(root: Path, about: CatalogEntry) -> list[CheckResult]:
    """How many people each split of the raw release has."""
    findings = []
    for protocol, splits in about.splits.items():
        for split in splits:
            name = f"{protocol}/{split}"
            dataset = about.dataset(root, split, protocol)
            try:
                dataset.prepare()  # sets of videos make their index here, which they need for anything
                count = len(dataset)
            except UserError as error:
                findings.append(CheckResult(name, f"not readable: {error}", True))
                continue
            expected = about.counts.get(protocol, {}).get(split)
            wrong = expected is not None and count != expected
            findings.append(CheckResult(name, f"{count} people" + (f", expected {expected}" if wrong else ""), wrong))
    return findings


def _look_at_prepared(root: Path, deep: bool) -> list[CheckResult]:
    """Splits of a folder that `data prepare` has written; with checksums if asked."""
    findings = []
    for folder in (p for protocol in PROTOCOLS for p in sorted((root / protocol).glob("*")) if p.is_dir()):
        name = f"{folder.parent.name}/{folder.name}"
        try:
            about = read_split(folder)
            Prepared(str(root), folder.name, folder.parent.name, skeleton=about["skeleton"]).prepare()
        except UserError as error:
            findings.append(CheckResult(name, str(error), True))
            continue
        damaged = [f for f in about["sha256"] if not (folder / f).is_file()]
        if deep and not damaged:
            damaged = [f for f, sum_ in about["sha256"].items() if sha256(folder / f) != sum_]
        state = f"{about['rows']} people, {about['skipped']} unreadable left out"
        if damaged:
            state += f"; damaged: {', '.join(islice(damaged, 3))}; delete the folder and prepare it again"
        elif deep:
            state += ", checksums right"
        findings.append(CheckResult(name, state, bool(damaged)))
    return findings


def check(name: str, root: str, deep: bool = False, console: Console | None = None) -> bool:
    """Print the report.

    Args:
        name: of the data set.
        root: its folder, raw or prepared.
        deep: of a prepared set: read everything and compare checksums.
        console: where to.

    Returns:
        Whether all is there.

    Raises:
        UserError: there is no such data set, or `deep` is asked of one that is not prepared.
    """
    about = find_entry(name)
    console = console or Console()
    folder = Path(root)
    prepared = is_prepared(folder)
    if deep and not prepared:
        raise UserError(f"--deep compares checksums of a prepared set, and {root} is not one; leave it out")
    console.print(f"[bold]{escape(about.title)}[/bold]")
    console.print(f"terms   {escape(about.terms)}")
    console.print(f"folder  {escape(root)}{'  (prepared)' if prepared else ''}")
    files = [] if prepared else check_files(folder, about.files)
    if prepared:
        splits = _look_at_prepared(folder, deep)
    elif all(f.found == "none" for f in files):
        splits = [CheckResult("all", "none before there are files", True)]
    else:
        splits = check_splits(folder, about)
    return print_findings(console, files, splits, about.site, about.obtain)


def print_findings(
    console: Console, files: list[CheckResult], splits: list[CheckResult], site: str, obtain: str
) -> bool:
    """A table of each, and where to get what is missing.

    Args:
        console: where to.
        files: groups of files.
        splits: what results of them.
        site: where the data set is.
        obtain: how to get it there.

    Returns:
        Whether all is there.
    """
    for title, findings in (("files", files), ("splits", splits)):
        if findings:
            table = Table("", title, box=None, pad_edge=False)
            table.add_column("found", overflow="fold")
            for finding in findings:
                mark = "[red]✗[/red]" if finding.missing else "[green]✓[/green]"
                table.add_row(mark, escape(finding.name), escape(finding.found))
            console.print(table)
    whole = not any(f.missing for f in files + splits)
    if not whole:
        console.print(f"get it  {escape(site)}", soft_wrap=True)
        console.print(f"        {escape(obtain)}", soft_wrap=True)
    return whole

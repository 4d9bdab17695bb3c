"""Check the spelling of prose with codespell (American): ``python tests/tools/spelling.py [--write] [PATH ...]``.

codespell cannot tell prose from code, and identifiers keep their names until they are renamed. In Python files this
script therefore shows codespell only comments, docstrings and strings of several words. Other files are checked whole.
The options of codespell are in ``[tool.codespell]`` of pyproject.toml; further words are in american.txt.
"""

import argparse
import ast
import io
import re
import subprocess
import sys
import tempfile
import tokenize
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
KINDS = {".py", ".md", ".yaml", ".yml", ".toml", ".cff", ".txt", ""}
SKIPPED = {"LICENSE", "american.txt", "constraints.txt", "spelling.py"}  # its own examples are misspelled
PROSE = (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))
FOUND = re.compile(r".*/(?P<file>\d+)\.txt:(?P<line>\d+): (?P<wrong>\S+) ==> (?P<right>.+)$")
NAMES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["codespell"]["ignore-regex"]
WORDS = ("--dictionary", "-", "--dictionary", str(ROOT / "tests/tools/american.txt"))  # codespell's own, and more
Mistake = tuple[int, str, str]


def is_prose(text: str) -> bool:
    r"""Return whether a token is prose: of several words, and not a program in a string.

    >>> is_prose("# the center"), is_prose('"center"'), is_prose("'''import os\nprint(os.sep)'''")
    (True, False, False)
    """
    if text.startswith("#"):
        return True
    if not re.search(r"\w\s+\S", text):
        return False
    try:
        ast.parse(re.sub(r"^\w*('''|\"\"\"|'|\")|('''|\"\"\"|'|\")$", "", text))
    except SyntaxError:
        return True
    return False


def blank(text: str) -> str:
    """Replace everything but line breaks by spaces.

    >>> blank("a = 1")
    '     '
    """
    return re.sub(r"[^\n]", " ", text)


def only_prose(source: str) -> str:
    """Return a program with its code blanked out; every word keeps its line and column.

    >>> only_prose("center = 1  # the center")
    '            # the center'
    """
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    kept, end = [], 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in PROSE or not is_prose(token.string):
            continue
        first = starts[token.start[0] - 1] + token.start[1]
        last = starts[token.end[0] - 1] + token.end[1]
        text = source[first:last]
        if re.match(r"[rR]?[fF]", text):  # Python 3.11 has f-strings as one token, with their expressions
            text = re.sub(r"\{[^{}]*\}", lambda match: blank(match[0]), text)
        kept += [blank(source[end:first]), text]
        end = last
    return "".join([*kept, blank(source[end:])])


def prose(path: Path) -> str:
    """Return what is checked of a file, in its place."""
    text = path.read_text()
    shown = only_prose(text) if path.suffix == ".py" else text
    return re.sub(NAMES, lambda match: blank(match[0]), shown, flags=re.MULTILINE)


def mistakes(paths: list[Path]) -> dict[Path, list[Mistake]]:
    """Return line, word and suggestion of each misspelled word, by file."""
    found: dict[Path, list[Mistake]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(paths):  # codespell is started once: a start takes half a second
            (Path(folder) / f"{number}.txt").write_text(prose(path))
        command = [sys.executable, "-m", "codespell_lib", "--toml", str(ROOT / "pyproject.toml"), *WORDS, folder]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 65):
        raise SystemExit(f"codespell failed: {done.stderr.strip()}")
    for match in map(FOUND.match, done.stdout.splitlines()):
        if match:
            mistake = int(match["line"]), match["wrong"], match["right"]
            found.setdefault(paths[int(match["file"])], []).append(mistake)
    return found


def corrected(text: str, shown: str, found: list[Mistake]) -> str:
    """Return a text with the first suggestion in place of each misspelled word of its prose.

    >>> corrected("center = 1  # the center", "            # the center", [(1, "center", "center")])
    'center = 1  # the center'
    """
    lines, prose = text.splitlines(keepends=True), shown.splitlines(keepends=True)
    for number, wrong, right in found:
        old = re.compile(rf"(?<![\w-]){re.escape(wrong)}(?![\w-])")
        for match in reversed(list(old.finditer(prose[number - 1]))):
            for kind in (lines, prose):
                line, new = kind[number - 1], right.split(",")[0]
                kind[number - 1] = line[: match.start()] + new + line[match.end() :]
    return "".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", help="files and folders below the project's root (default: everything)")
    parser.add_argument("--write", action="store_true", help="replace words that have a single suggestion")
    options = parser.parse_args()
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *(options.paths or ["."])]
    tracked = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    paths = [ROOT / name for name in tracked if Path(name).suffix in KINDS and Path(name).name not in SKIPPED]
    found = mistakes([path for path in paths if path.is_file()])
    if options.write:
        for path, each in found.items():
            path.write_text(corrected(path.read_text(), prose(path), [one for one in each if "," not in one[2]]))
        found = mistakes(list(found))
    for path, each in found.items():
        for line, wrong, right in each:
            print(f"{path.relative_to(ROOT)}:{line}: {wrong} ==> {right}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

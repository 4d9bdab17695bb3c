"""List the files whose docstrings break ruff's D rules: ``python tests/tools/docstring_debt.py [--write] [--allow-new]``.

ruff_docstrings.toml exempts these files, rule by rule. Without options this script fails if an entry is no longer
needed; ``--write`` removes such entries. A file that is not listed must be clean: fix its docstrings. Only after a move
of files, or a merge with a branch that did not check docstrings, is ``--allow-new`` right, which adds entries.
"""

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = ROOT / "ruff_docstrings.toml"
HEAD = """\
# Files whose docstrings break these rules as yet. The list can only shrink: fix a file, then run
# `python tests/tools/docstring_debt.py --write`. New files must be clean.
[lint.extend-per-file-ignores]
"""


def broken() -> dict[str, set[str]]:
    """Return the D rules that each file breaks, apart from those that pyproject.toml switches off."""
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    ignored = ",".join(rule for rule in ruff["ignore"] if rule.startswith("D"))
    options = ["--isolated", "--select", "D,D401", "--ignore", ignored, "--output-format", "json"]
    options += ["--config", f"lint.pydocstyle.convention='{ruff['pydocstyle']['convention']}'"]
    options += ["--config", f"lint.per-file-ignores={json.dumps(ruff['per-file-ignores']).replace(': ', ' = ')}"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *options, "."], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    found: dict[str, set[str]] = {}
    for violation in json.loads(done.stdout):
        found.setdefault(Path(violation["filename"]).relative_to(ROOT).as_posix(), set()).add(violation["code"])
    return found


def listed() -> dict[str, set[str]]:
    """Return the rules that each file is exempt from."""
    content = tomllib.loads(LIST.read_text()).get("lint", {}).get("extend-per-file-ignores", {})
    return {name: set(rules) for name, rules in content.items()}


def stale(exempt: dict[str, set[str]], found: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Return file and rule of each exemption that is not needed.

    >>> stale({"a.py": {"D401", "D205"}}, {"a.py": {"D205"}})
    [('a.py', 'D401')]
    """
    return sorted((name, rule) for name, rules in exempt.items() for rule in rules - found.get(name, set()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="remove entries that are not needed")
    parser.add_argument("--allow-new", action="store_true", help="add entries for what is broken and not listed")
    options = parser.parse_args()
    found, exempt = broken(), listed()
    unneeded = stale(exempt, found)
    if options.write or options.allow_new:
        kept = found if options.allow_new else {name: rules & found.get(name, set()) for name, rules in exempt.items()}
        lines = [f"{json.dumps(name)} = {json.dumps(sorted(rules))}\n" for name, rules in sorted(kept.items()) if rules]
        LIST.write_text(HEAD + "".join(lines))
        return 0
    for name, rule in unneeded:
        print(f"{name} no longer breaks {rule}: run python tests/tools/docstring_debt.py --write")
    return bool(unneeded)


if __name__ == "__main__":
    sys.exit(main())

"""Run the tests with the oldest versions that pyproject.toml allows: ``make lower-bounds``.

If the tests pass, the versions are written to benchmarks/results/lower_bounds.txt.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-lower"


def lowest(requirement: str) -> str:
    """Return the lowest release with its bug fixes: ``torch>=2.10,<3`` → ``torch==2.10.*``; an exact pin stays.

    >>> lowest("jsonargparse[signatures]>=4.45,<5")
    'jsonargparse[signatures]==4.45.*'
    """
    name, sign, bound = re.match(r"([A-Za-z0-9_.,\[\]-]+?)(>=|==)([0-9.]+)", requirement).groups()
    return requirement if sign == "==" else f"{name}=={bound}.*"


def requirements(project: dict, extra: str) -> list[str]:
    """Return the requirements of an extra; extras of the project itself are replaced by their requirements.

    >>> requirements({"name": "ours", "optional-dependencies": {"dev": ["a>=1", "ours[x]"], "x": ["b>=2"]}}, "dev")
    ['a>=1', 'b>=2']
    """
    found = []
    for requirement in project["optional-dependencies"][extra]:
        own = re.fullmatch(rf"{project['name']}\[(.+)\]", requirement)
        if own:
            for name in own[1].split(","):
                found += requirements(project, name)
        else:
            found.append(requirement)
    return found


def main() -> int:
    """Install the oldest versions, run the tests, and return their exit status."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [lowest(r) for r in (*project["dependencies"], *requirements(project, "dev"))]
    python = VENV / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--editable", ROOT], check=True)
    code = subprocess.run(
        [python, "-m", "pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"], cwd=ROOT
    ).returncode
    if code == 0:
        result = ROOT / "benchmarks/results/lower_bounds.txt"
        result.write_text("# make lower-bounds passed the tests with\n" + "\n".join(wanted) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())

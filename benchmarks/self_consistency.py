"""Compare label-free quality indicators with PCK, for models with the same start on the same people.

    python benchmarks/self_consistency.py --people cache/people/demo-photo-test --models runs/demo/seed0/*

Each model is a checkpoint, model folder or run folder with crops of the demo's size. The labels of the people are used
for the last column only.
"""

import argparse
import itertools
from pathlib import Path

from scipy.stats import spearmanr

from hamipose.adapt.labeled_score import compute_labeled_pck
from hamipose.adapt.self_consistency import measure_self_consistency
from hamipose.data.datasets.synthetic.people import SyntheticPeople
from hamipose.inference.loading import load

RESULT = Path(__file__).parent / "results" / "adapt_signs.md"
NAMES = ("confidence", "mirror_agreement", "rotation_agreement", "variety")


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, required=True, help="folder of built-in people, the demo's test set")
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    poses = ["standing", "standing_wide", "walking", "running"]
    people = SyntheticPeople(
        str(options.people), style="photo", count=300, size=96, seed=3, box_margin=1.25, poses=poses
    )
    people.prepare()
    frames = [people[i] for i in range(options.frames)]
    rows = []
    for path in options.models:
        model = load(path)
        indicators = measure_self_consistency(model, frames)
        pck = compute_labeled_pck(model, people, count=options.frames)[0.1]
        rows.append((f"{path.parent.name}/{path.name}", *(getattr(indicators, n) for n in NAMES), pck))
        print(rows[-1], flush=True)
    rows.sort(key=lambda row: row[-1])
    lines = ["| model | " + " | ".join(n.replace("_", " ") for n in NAMES) + " | PCK@0.1 |", "|---" * 6 + "|"]
    lines += [f"| {r[0]} | " + " | ".join(f"{value:.3f}" for value in r[1:]) + " |" for r in rows]
    ranks = [spearmanr([r[1 + i] for r in rows], [r[-1] for r in rows]).statistic for i in range(len(NAMES))]
    lines.append("| **rank correlation with PCK** | " + " | ".join(f"{rank:.2f}" for rank in ranks) + " | |")
    pairs = list(itertools.combinations(rows, 2))
    right = [sum((b[1 + i] > a[1 + i]) == (b[-1] > a[-1]) for a, b in pairs) / len(pairs) for i in range(len(NAMES))]
    lines.append("| pairs of models in the right order | " + " | ".join(f"{share:.2f}" for share in right) + " | |")
    RESULT.write_text("# Label-free indicators and PCK\n\n" + "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

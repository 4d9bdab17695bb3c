"""What is left to do of an adaptation that was interrupted."""

from pathlib import Path

from hamipose.adapt.configs import built_in_people
from hamipose.adapt.hardware import Plan
from hamipose.io.tensor_file import read_checkpoint_file

__all__ = ["pictures_to_make", "steps_left"]


def steps_left(folder: Path, steps: int) -> int:
    """Steps of a run that its last checkpoint has not made.

    Args:
        folder: of the run; it need not be there.
        steps: of the whole run.
    """
    if (folder / "scores.json").exists():
        return 0
    last = folder / "checkpoints/last.ckpt"
    return max(0, steps - read_checkpoint_file(last)["global_step"]) if last.exists() else steps


def pictures_to_make(plan: Plan, cache: Path) -> int:
    """Built-in people, for learning and for validation, that are not in the cache yet."""
    sets = [people["init_args"] for people in built_in_people(plan, cache)]
    return sum(max(0, s["count"] - len(list(Path(s["root"]).glob("images/*")))) for s in sets)

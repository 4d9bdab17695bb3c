"""Files of a run: save its config, protect the checkpoints of other runs, and disable selection without validation."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.cli import SaveConfigCallback

from hamipose.engine.checkpoints import run_folder
from hamipose.errors import UserError

__all__ = ["SavedConfig", "check_overwrite", "remove_selection"]


class SavedConfig(SaveConfigCallback):
    """Writes every option of a run to its folder: ``config.yaml`` for `fit`, ``config-test.yaml`` for `test`, ….

    A run that is resumed with other options keeps the earlier ones as ``config-000.yaml``, ``config-001.yaml``, ….
    """

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file; Lightning calls this on the first process only."""
        verb = trainer.state.fn
        path = run_folder(trainer) / ("config.yaml" if verb in (None, "fit") else f"config-{verb.value}.yaml")
        content = self.parser.dump(self.config, skip_none=False, skip_validation=True)  # it was checked when parsed
        if path.exists() and verb == "fit" and _without_resuming(path.read_text()) != _without_resuming(content):
            number = len(list(path.parent.glob("config-[0-9]*.yaml")))
            path.rename(path.with_name(f"config-{number:03d}.yaml"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _without_resuming(content: str) -> list[str]:
    """Return the lines of a config, without the checkpoint to resume from."""
    return [line for line in content.splitlines() if not line.startswith("ckpt_path:")]


def check_overwrite(folder: Path, checkpoint: Any) -> None:
    """Check that a new run does not replace the checkpoints of another run.

    Args:
        folder: folder of the new run.
        checkpoint: checkpoint that the run resumes from, or None.

    Raises:
        UserError: the folder contains checkpoints of a run that is not the one to resume.
    """
    checkpoints = folder / "checkpoints"
    found = sorted(checkpoints.glob("*.ckpt"))
    if not found or checkpoint in ("last", "best", "hpc"):
        return
    if checkpoint and Path(checkpoint).resolve().parent == checkpoints.resolve():
        return
    last = checkpoints / "last.ckpt" if checkpoints / "last.ckpt" in found else found[-1]
    raise UserError(
        f"{folder} already contains a run, whose checkpoints this one would replace; resume it with --ckpt_path "
        f"{last}, give another folder with --trainer.logger.init_args.version, or delete it"
    )


def remove_selection(trainer: Trainer) -> None:
    """Remove the callbacks that select checkpoints by source validation, for runs without it, and print a message.

    Raises:
        UserError: another callback, such as early stopping, needs a validation score.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in list(callbacks):
        monitored = getattr(callback, "monitor", None)
        if not (isinstance(monitored, str) and monitored.startswith("val")):
            continue
        if not isinstance(callback, Checkpoint):
            raise UserError(
                f"{type(callback).__name__} monitors {monitored}, and data.validation is null; give validation images "
                "or remove it from trainer.callbacks"
            )
        callbacks.remove(callback)
        if trainer.is_global_zero:
            name = getattr(callback, "filename", None) or "selected"
            print(f"data.validation is null: no {name} checkpoint is saved, only the last one", flush=True)

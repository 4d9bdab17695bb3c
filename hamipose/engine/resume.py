"""What a checkpoint restores over the options of a run: which of the two is used, and what is refused."""

import filecmp
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import EarlyStopping
from torch.optim import Optimizer

from hamipose.engine.optimization import epoch_steps, total_steps
from hamipose.errors import UserError

__all__ = ["check_run", "optimizer_options", "resume", "run_record", "use_options"]

_NEW_RUN = "start a new run from the checkpoint's network with training.init_from"


def optimizer_options(optimizer: Optimizer) -> dict[str, Any]:
    """Return the class and the options of an optimizer that has made no step: what the config asked for."""
    groups = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    return {"class": type(optimizer).__name__, "groups": groups}


def run_record(module: LightningModule, start: Mapping[str, str | None], optimizer: dict[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint must hold so that resuming it can be checked against the options then given.

    Args:
        module: what is trained.
        start: option → where the weights at step 0 came from.
        optimizer: :func:`optimizer_options` of its optimizer.
    """
    trainer = module.trainer
    return {
        "seed": _seed(trainer),
        "steps_per_epoch": epoch_steps(trainer),
        "start": dict(start),
        "adapting": _adapting(module, trainer.global_step),
        "optimizer": optimizer,
    }


def resume(
    checkpoint: dict[str, Any],
    module: LightningModule,
    start: Mapping[str, str | None],
    now: Optimizer,
    factor: Callable[[int], float],
) -> None:
    """Make a checkpoint resume with the options that are given, and say in a line what is new; see the two below.

    Raises:
        UserError: options differ that cannot be changed in the middle of a run.
    """
    check_run(checkpoint, module, start)
    changed = use_options(checkpoint, module, now, factor)
    if changed and module.trainer.is_global_zero:
        print(f"Resuming at step {checkpoint['global_step']} with {', '.join(changed)}", flush=True)


def check_run(checkpoint: dict[str, Any], module: LightningModule, start: Mapping[str, str | None]) -> None:
    """Refuse to resume a run with options that could not be used any more.

    Checkpoints without a record (of earlier versions) are only checked against the length of the run.

    Args:
        checkpoint: as Lightning reads it.
        module: that resumes from it, its data set up.
        start: as for :func:`run_record`.

    Raises:
        UserError: an option differs that decided steps already taken, or there is nothing left to do.
    """
    trainer, step = module.trainer, checkpoint["global_step"]
    record = checkpoint.get("run", {})
    per_epoch = epoch_steps(trainer)
    for option, found, wanted in (
        ("seed_everything", record.get("seed"), _seed(trainer)),
        ("data.steps_per_epoch (with trainer.limit_train_batches)", record.get("steps_per_epoch"), per_epoch),
    ):
        if None not in (found, wanted) and found != wanted:
            raise UserError(
                f"{option} is {wanted}, but the run in the checkpoint has {found} and is at step {step}; resume it "
                f"with {found}, or {_NEW_RUN}"
            )
    for option, wanted_start in start.items():
        known = record.get("start", {})
        if option in known and not _same_file(known[option], wanted_start):
            raise UserError(
                f"{option} is {_shown(wanted_start)}, but the run in the checkpoint began with {_shown(known[option])} "
                f"and is at step {step}; resume it with {_shown(known[option])}, or without --ckpt_path begin anew"
            )
    if record.get("adapting") not in (None, _adapting(module, step)):
        before, now = ("adapted", "pretrains") if record["adapting"] else ("pretrained", "adapts")
        raise UserError(
            f"pretrain_steps differs: at step {step} the run in the checkpoint {before}, with these options it {now}; "
            f"resume it with its own pretrain_steps, or {_NEW_RUN}"
        )
    total = total_steps(trainer) if per_epoch is not None else float("inf")
    if step > total:
        raise UserError(
            f"the checkpoint is at step {step}, and trainer.max_epochs or trainer.max_steps ends the run at step "
            f"{total:.0f}; give a longer run, or `validate` the checkpoint"
        )


def use_options(
    checkpoint: dict[str, Any], module: LightningModule, now: Optimizer, factor: Callable[[int], float]
) -> list[str]:
    """Replace what a checkpoint would restore over options by the options themselves, before it is restored.

    State (momenta, counts, the step of the schedule) stays as saved. With unchanged options nothing changes.

    Args:
        checkpoint: as Lightning reads it; changed in place.
        module: that resumes from it.
        now: a new optimizer, as the config describes it.
        factor: of the learning rate at a step.

    Returns:
        What differs from the run in the checkpoint, a phrase each.

    Raises:
        UserError: the optimizer is of another class, or has its parameters in other groups.
    """
    told: list[str] = []
    asked = optimizer_options(now)["groups"]
    recorded = checkpoint.get("run", {}).get("optimizer")
    schedules = checkpoint.get("lr_schedulers", [])
    for number, saved in enumerate(checkpoint.get("optimizer_states", [])):
        groups = saved["param_groups"]
        _check_optimizer(groups, recorded, now)
        before = recorded["groups"] if recorded else [{**g, "lr": g.get("initial_lr", g["lr"])} for g in groups]
        schedule = schedules[number] if number < len(schedules) else None
        for position, (group, was, wanted) in enumerate(zip(groups, before, asked, strict=True)):
            for name, value in wanted.items():
                if name in was and was[name] != value:
                    group[name] = value
                    told.append(f"{name} {value} (so far {was[name]})")
            if schedule is not None:
                group["initial_lr"] = schedule["base_lrs"][position] = wanted["lr"]
                group["lr"] = schedule["_last_lr"][position] = wanted["lr"] * factor(schedule["last_epoch"])
    for callback in module.trainer.callbacks:  # type: ignore[attr-defined]
        state = checkpoint.get("callbacks", {}).get(getattr(callback, "state_key", None), {})
        if isinstance(callback, EarlyStopping) and state.get("patience", callback.patience) != callback.patience:
            told.append(f"patience {callback.patience} (so far {state['patience']})")
            state["patience"] = callback.patience
    return list(dict.fromkeys(told))


def _check_optimizer(saved: list[dict[str, Any]], recorded: dict[str, Any] | None, now: Optimizer) -> None:
    counts, expected = ([len(group["params"]) for group in groups] for groups in (saved, now.param_groups))
    missing = set(now.defaults) - set(saved[0] if saved else ())
    if counts != expected:
        found = f"groups of {counts} parameters"
    elif recorded and recorded["class"] != type(now).__name__:
        found = f"the class {recorded['class']}"
    elif missing:
        found = f"no {', '.join(sorted(missing))}"
    else:
        return
    raise UserError(
        f"the checkpoint's optimizer has {found}; expected {type(now).__name__} with groups of {expected}: "
        "give the config it was made with, or start a new run from its network with training.init_from"
    )


def _seed(trainer: Any) -> int | None:
    return getattr(getattr(trainer, "datamodule", None), "seed", None)


def _adapting(module: Any, step: int) -> bool | None:
    wants_target = getattr(module, "wants_target", None)
    return None if wants_target is None else bool(wants_target(step))


def _same_file(known: str | None, wanted: str | None) -> bool:
    """Return whether both name one file, or a file that was moved or copied with the run's folder."""
    if known == wanted:
        return True
    if known is None or wanted is None:
        return False
    a, b = Path(known), Path(wanted)
    if a.resolve() == b.resolve():
        return True
    if a.is_file() and b.is_file():
        return filecmp.cmp(a, b, shallow=False)
    return not a.exists() and b.is_file() and a.name == b.name


def _shown(value: str | None) -> str:
    return "null" if value is None else value

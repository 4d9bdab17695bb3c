"""Resume a run with given options: options that may change replace the checkpoint's, others must be the same."""

import filecmp
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import EarlyStopping
from torch.optim import Optimizer

from hamipose.engine.optimization import epoch_steps, total_steps
from hamipose.errors import UserError

__all__ = ["optimizer_options", "resume", "run_record", "use_options"]

_NEW_RUN = "start a new run from the checkpoint's network with training.init_from"


def optimizer_options(optimizer: Optimizer) -> dict[str, Any]:
    """Return the class and the options of a new optimizer, as the config describes them."""
    groups = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    return {"class": type(optimizer).__name__, "groups": groups}


def run_record(module: LightningModule, start: Mapping[str, str | None], optimizer: dict[str, Any]) -> dict[str, Any]:
    """Return the record of options in a checkpoint, which :func:`_check_run` and :func:`use_options` compare.

    Args:
        module: the module that is trained.
        start: option → source of the initial weights.
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
    """Prepare a checkpoint for resuming with the given options, and print the changed ones in one line.

    See :func:`_check_run` and :func:`use_options`, which have the same arguments.

    Raises:
        UserError: options differ that cannot change within a run.
    """
    _check_run(checkpoint, module, start)
    changed = use_options(checkpoint, module, now, factor)
    if changed and module.trainer.is_global_zero:
        print(f"Resuming at step {checkpoint['global_step']} with {', '.join(changed)}", flush=True)


def _check_run(checkpoint: dict[str, Any], module: LightningModule, start: Mapping[str, str | None]) -> None:
    """Check that a run is resumed with the options that decided its previous steps.

    Checkpoints without a record (of earlier versions) are only checked against the length of the run.

    Args:
        checkpoint: content of the checkpoint.
        module: the module that resumes, after the setup of its data.
        start: see :func:`run_record`.

    Raises:
        UserError: such an option differs, or the run has no steps left.
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
                f"{option} is {_shown(wanted_start)}, but the run in the checkpoint started with "
                f"{_shown(known[option])} and is at step {step}; resume it with "
                f"{_shown(known[option])}, or start a new run without --ckpt_path"
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
    """Replace the options in a checkpoint, which Lightning would restore, by the given options.

    State (momenta, counts, the step of the schedule) stays as saved. With unchanged options the checkpoint does not
    change.

    Args:
        checkpoint: content of the checkpoint; changed in place.
        module: the module that resumes.
        now: a new optimizer, as the config describes it.
        factor: step → learning rate factor.

    Returns:
        A phrase for each changed option.

    Raises:
        UserError: the optimizer is of another class, or has its parameters in other groups.
    """
    changes: list[str] = []
    requested = optimizer_options(now)["groups"]
    recorded = checkpoint.get("run", {}).get("optimizer")
    schedules = checkpoint.get("lr_schedulers", [])
    for number, saved in enumerate(checkpoint.get("optimizer_states", [])):
        groups = saved["param_groups"]
        _check_optimizer(groups, recorded, now)
        before = recorded["groups"] if recorded else [{**g, "lr": g.get("initial_lr", g["lr"])} for g in groups]
        schedule = schedules[number] if number < len(schedules) else None
        for position, (group, was, wanted) in enumerate(zip(groups, before, requested, strict=True)):
            for name, value in wanted.items():
                if name in was and was[name] != value:
                    group[name] = value
                    changes.append(f"{name} {value} (was {was[name]})")
            if schedule is not None:
                group["initial_lr"] = schedule["base_lrs"][position] = wanted["lr"]
                group["lr"] = schedule["_last_lr"][position] = wanted["lr"] * factor(schedule["last_epoch"])
    for callback in module.trainer.callbacks:  # type: ignore[attr-defined]
        state = checkpoint.get("callbacks", {}).get(getattr(callback, "state_key", None), {})
        if isinstance(callback, EarlyStopping) and state.get("patience", callback.patience) != callback.patience:
            changes.append(f"patience {callback.patience} (was {state['patience']})")
            state["patience"] = callback.patience
    return list(dict.fromkeys(changes))


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
        "use the config of the run, or start a new run from its network with training.init_from"
    )


def _seed(trainer: Any) -> int | None:
    return getattr(getattr(trainer, "datamodule", None), "seed", None)


def _adapting(module: Any, step: int) -> bool | None:
    uses_target = getattr(module, "uses_target", None)
    return None if uses_target is None else bool(uses_target(step))


def _same_file(known: str | None, wanted: str | None) -> bool:
    """Return whether both paths name the same file, or a copy that was moved with the run folder."""
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

"""fit, validate, test and predict: Lightning's command line, with errors that fit into one line."""

import sys
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from rich.console import Console
from rich.table import Table

from hamipose.cli.inherit import expand
from hamipose.cli.parser import Parser, one_line, quieten
from hamipose.data.datamodule import DomainAdaptation
from hamipose.errors import InputError
from hamipose.methods.base import PoseMethod
from hamipose.methods.checkpoint import read_checkpoint
from hamipose.run_page import write_run_page
from hamipose.running.last_checkpoint import AtomicCheckpoints, run_folder

__all__ = ["HamiPoseCLI", "run"]


class HamiPoseCLI(LightningCLI):
    """Model by class path; one data module; seed and data seed are the same; configs win over checkpoints."""

    def __init__(self, arguments: list[str]):
        super().__init__(
            PoseMethod,
            DomainAdaptation,
            subclass_mode_model=True,
            parser_class=Parser,
            auto_configure_optimizers=False,
            # A checkpoint keeps what rebuilds its network, which the method saves itself: plain types only.
            load_from_checkpoint_support=False,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            trainer_defaults={"use_distributed_sampler": False},
            args=arguments,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The line that configs inherit by, and one seed for everything."""
        parser.add_argument("--inherit", type=str | list[str] | None, default=None, help="configs to build on")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Forget `inherit` once it has been followed: the saved config states everything."""
        argv, sys.argv = sys.argv, sys.argv[:1]  # Lightning would warn of them
        try:
            super().parse_arguments(parser, args)
        finally:
            sys.argv = argv
        verb = self.config.subcommand
        self.config[verb].inherit = None
        if "weights_only" in self.config[verb]:
            self.config[verb].weights_only = True

    def _parse_ckpt_path(self) -> None:
        """Lightning's own lets a checkpoint's hyper-parameters overrule config and command line, silently."""
        path = self.config[self.config.subcommand].get("ckpt_path")
        if path and path not in ("last", "hpc", "best", "registry"):
            read_checkpoint(path)

    def instantiate_classes(self) -> None:
        """What a constructor refuses is told as it said it, without the parser's account of where it was."""
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, MisconfigurationException) as error:
            cause: BaseException = error
            while cause.__cause__ is not None and not isinstance(cause, InputError):
                cause = cause.__cause__
            raise InputError(one_line(str(cause))) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """With checkpoint files that are whole or absent."""
        plugins = self._get(self.config_init, "trainer").get("plugins") or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        return super().instantiate_trainer(plugins=[*plugins, AtomicCheckpoints()], **kwargs)

    def after_fit(self) -> None:
        """The run as a page to look at, where its numbers were written to a file."""
        folder = run_folder(self.trainer)
        if self.trainer.is_global_zero and (folder / "metrics.csv").is_file():
            write_run_page(folder)

    def validate(self, **kwargs: Any) -> None:
        """Scores as one table."""
        self.trainer.validate(**{**kwargs, "verbose": False})
        self._print_scores()

    def test(self, **kwargs: Any) -> None:
        """Scores as one table."""
        self.trainer.test(**{**kwargs, "verbose": False})
        self._print_scores()

    def _print_scores(self) -> None:
        if not self.trainer.is_global_zero:
            return
        rows: dict[str, dict[str, float]] = {}
        for key, value in self.trainer.callback_metrics.items():
            name, found, rest = key.partition("/pck@")
            if found:
                threshold, _, group = rest.partition("/")
                rows.setdefault(f"{name} @{threshold}", {})[group or "all"] = 100 * float(value)
        columns = list(dict.fromkeys(group for row in rows.values() for group in row))
        table = Table("PCK, %", *columns)
        for name, row in rows.items():
            table.add_row(name, *(f"{row[c]:.1f}" if c in row else "" for c in columns))
        Console().print(table)

    def before_fit(self) -> None:
        """Refuse selection on target labels."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            monitored = getattr(callback, "monitor", None)
            if isinstance(monitored, str) and monitored.startswith("report/"):
                raise InputError(
                    f"{type(callback).__name__} monitors {monitored}, a score on target labels; expected one on source "
                    "validation, such as val/pck"
                )


def run(arguments: list[str]) -> HamiPoseCLI:
    """Carry out a verb.

    Raises:
        InputError: something that the user can put right.
    """
    quieten()
    try:
        return HamiPoseCLI(expand(arguments))
    except MisconfigurationException as error:
        raise InputError(one_line(str(error))) from error

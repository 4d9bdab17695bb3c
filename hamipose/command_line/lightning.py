"""Lightning's command line as both packages use it: configs win over checkpoints, errors fit into one line."""

import sys
from abc import abstractmethod
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelSummary, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from hamipose.command_line.parser import Parser, one_line, quieten, reason
from hamipose.command_line.run_files import SavedConfig, refuse_to_overwrite, select_nothing
from hamipose.config.config_file import expand_config_arguments
from hamipose.engine.callbacks import Progress, Summary
from hamipose.engine.checkpoints import AtomicCheckpoints, run_folder
from hamipose.errors import UserError

__all__ = ["Application", "run_application"]


#: What constructors raise at values that make no sense together.
_REFUSALS = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError),
    MisconfigurationException,
)


class Application(LightningCLI):
    """Model by class path; one data module; seed and data seed are the same; configs win over checkpoints.

    The second level of inheritance below Lightning's class has this reason: Lightning calls the steps of a command line
    by their names on the object itself, and two packages take the same steps.

    Args:
        model: what class paths of models must lead to.
        data: the data module.
        selection: a metric that checkpoints may be chosen by, to be told to who chooses by another.
        arguments: of the command line.
    """

    def __init__(
        self, model: type[LightningModule], data: type[LightningDataModule], selection: str, arguments: list[str]
    ):
        self.selection = selection
        verbs = LightningCLI.subcommands()
        if arguments and arguments[0] in verbs:  # a parser of each verb takes a second
            self.subcommands = lambda: {arguments[0]: verbs[arguments[0]]}  # type: ignore[method-assign]
        super().__init__(
            model,
            data,
            subclass_mode_model=True,
            parser_class=Parser,
            auto_configure_optimizers=False,
            # A checkpoint keeps what rebuilds its network, which the method saves itself: plain types only.
            load_from_checkpoint_support=False,
            seed_everything_default=0,
            save_config_callback=SavedConfig,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={"use_distributed_sampler": False},
            args=arguments,
        )

    @abstractmethod
    def read_checkpoint(self, path: str | Path) -> dict[str, Any]:
        """A checkpoint's content; one that cannot be read is refused in one line."""

    @abstractmethod
    def print_scores(self) -> None:
        """What `validate` and `test` found, as a table."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The line that configs inherit by, and one seed for everything."""
        parser.add_argument("--inherit", type=str | list[str] | None, default=None, help="configs to build on")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Forget `inherit` once it has been followed: the saved config states everything."""
        argv, sys.argv = sys.argv, sys.argv[:1]  # Lightning would warn of them
        try:
            super().parse_arguments(parser, args)
        except (UserError, OSError):
            raise
        except Exception as error:  # what the parser meets in a file that means something else
            raise UserError(f"the options cannot be read: {reason(error)}; --debug shows where") from error
        finally:
            sys.argv = argv
        verb = self.config.subcommand
        self.config[verb].inherit = None
        if "weights_only" in self.config[verb]:
            self.config[verb].weights_only = True

    def _set_seed(self) -> None:
        """Lightning's, with a seed out of bounds told."""
        try:
            super()._set_seed()
        except ValueError as error:
            raise UserError(f"seed_everything: {error}") from None

    def _parse_ckpt_path(self) -> None:
        """Lightning's own lets a checkpoint's hyper-parameters overrule config and command line, silently."""
        path = self.config[self.config.subcommand].get("ckpt_path")
        if not path or path in ("last", "hpc", "best", "registry"):
            return
        if "pytorch-lightning_version" not in self.read_checkpoint(path):  # Lightning reads none but its own
            raise UserError(
                f"checkpoint {path} holds a network and no run; expected one that `fit` saved. A new run starts from "
                "its network with --model.init_args.training.init_from"
            )

    def instantiate_classes(self) -> None:
        """Check the data, then build everything; a refusal is reported in the words of the class that refused."""
        try:
            self._check_data()
            super().instantiate_classes()
        except _REFUSALS as error:
            raise UserError(reason(error)) from error

    def _check_data(self) -> None:
        """Build the data module alone and have it checked: a model may fetch weights, which takes longer."""
        parser = Parser()
        parser.add_class_arguments(self.datamodule_class, "data", fail_untyped=False)
        verb = self.config.subcommand
        # jsonargparse 4.49 has renamed it.
        instantiate = parser.instantiate if hasattr(parser, "instantiate") else parser.instantiate_classes
        instantiate(Namespace(data=self.config[verb].data)).data.check(verb)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """With checkpoint files that are whole or absent; our progress bar and summary unless others are asked for."""

        def listed(key: str) -> list[Any]:
            value = options.get(key) or []
            return value if isinstance(value, list) else [value]

        def left_to_us(option: str, kind: type[Callback]) -> bool:
            return options.get(option) is not False and not any(isinstance(c, kind) for c in callbacks)

        options = self._get(self.config_init, "trainer")
        plugins, callbacks = [*listed("plugins"), AtomicCheckpoints()], listed("callbacks")
        if left_to_us("enable_progress_bar", ProgressBar):
            callbacks.append(Progress())
        if left_to_us("enable_model_summary", ModelSummary):
            callbacks.append(Summary())
            kwargs["enable_model_summary"] = False  # Lightning's own
        return super().instantiate_trainer(plugins=plugins, callbacks=callbacks, **kwargs)

    def before_fit(self) -> None:
        """Refuse selection on test labels and to overwrite a run; without validation, select nothing."""
        if self.trainer.is_global_zero:
            refuse_to_overwrite(run_folder(self.trainer), self.config[self.config.subcommand].get("ckpt_path"))
        if self.datamodule.validation is None:
            select_nothing(self.trainer)
            if not self.datamodule.test:
                self.trainer.limit_val_batches = 0  # or Lightning would warn of a list of no loaders
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            monitored = getattr(callback, "monitor", None)
            if isinstance(monitored, str) and monitored.startswith("test/"):
                raise UserError(
                    f"{type(callback).__name__} monitors {monitored}, a score on a test set's labels; expected one on "
                    f"validation, such as {self.selection}"
                )

    def fit(self, **kwargs: Any) -> None:
        """Train; a run that ends without an evaluation (stopped before its last one, or too short) is evaluated."""
        self.trainer.fit(**kwargs)
        scored = any(name.startswith(("val/", "test/")) for name in self.trainer.callback_metrics)
        if not (scored or self.trainer.interrupted) and self.trainer.enable_validation:
            self.trainer.validate(kwargs["model"], datamodule=kwargs["datamodule"], verbose=False)

    def validate(self, **kwargs: Any) -> None:
        """Scores as one table."""
        self.trainer.validate(**{**kwargs, "verbose": False})
        if self.trainer.is_global_zero:
            self.print_scores()

    def test(self, **kwargs: Any) -> None:
        """Scores as one table."""
        self.trainer.test(**{**kwargs, "verbose": False})
        if self.trainer.is_global_zero:
            self.print_scores()


A = TypeVar("A", bound=Application)


def run_application(kind: "type[A]", arguments: list[str]) -> A:
    """Carry out a verb.

    Args:
        kind: whose command line, made from arguments alone.
        arguments: verb and options; configs may inherit.

    Raises:
        UserError: something that the user can put right.
    """
    quieten()
    try:
        return kind(expand_config_arguments(arguments))  # type: ignore[call-arg, arg-type]
    except MisconfigurationException as error:
        raise UserError(one_line(str(error))) from error

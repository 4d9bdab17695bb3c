"""Lightning's command line for both packages: configs override checkpoints, errors are one line."""

import sys
from abc import abstractmethod
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelSummary, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from hamipose.command_line.parser import Parser, error_reason, one_line, silence_lightning
from hamipose.command_line.run_files import SavedConfig, check_overwrite, remove_selection
from hamipose.config.config_file import expand_config_arguments
from hamipose.engine.callbacks import Progress, Summary
from hamipose.engine.checkpoints import AtomicCheckpoints, run_folder
from hamipose.errors import UserError

__all__ = ["Application", "run_application"]


#: Exceptions that constructors raise for invalid combinations of values.
_CONSTRUCTOR_ERRORS = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError),
    MisconfigurationException,
)


class Application(LightningCLI):
    """Base class of the command lines for `fit`, `validate`, `test` and `predict`.

    The model is given by its class path; there is one class of data module; one seed is used for everything; configs
    override checkpoints. This is a second level of inheritance below Lightning's class because Lightning calls the
    steps of a command line by name on the object itself, so the code of both packages cannot be a separate object.

    Args:
        model: base class of all models.
        data: class of the data module.
        selection: a metric by which checkpoints may be selected; error messages recommend it.
        arguments: the command line.
    """

    def __init__(
        self, model: type[LightningModule], data: type[LightningDataModule], selection: str, arguments: list[str]
    ):
        self.selection = selection
        verbs = LightningCLI.subcommands()
        if arguments and arguments[0] in verbs:  # building the parsers of all verbs takes seconds
            self.subcommands = lambda: {arguments[0]: verbs[arguments[0]]}  # type: ignore[method-assign]
        super().__init__(
            model,
            data,
            subclass_mode_model=True,
            parser_class=Parser,
            auto_configure_optimizers=False,
            # The method itself saves the options that rebuild its network, as plain types.
            load_from_checkpoint_support=False,
            seed_everything_default=0,
            save_config_callback=SavedConfig,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={"use_distributed_sampler": False},
            args=arguments,
        )

    @abstractmethod
    def read_checkpoint(self, path: str | Path) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            UserError: the file cannot be read.
        """

    @abstractmethod
    def print_scores(self) -> None:
        """Print the scores of `validate` or `test` as a table."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the option by which configs inherit, and use one seed for everything."""
        parser.add_argument("--inherit", type=str | list[str] | None, default=None, help="configs to build on")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the options, and remove `inherit`, which is resolved: the saved config is complete."""
        argv, sys.argv = sys.argv, sys.argv[:1]  # Lightning would warn about them
        try:
            super().parse_arguments(parser, args)
        except (UserError, OSError):
            raise
        except Exception as error:  # a file with other content than a config
            raise UserError(f"the options cannot be read: {error_reason(error)}; --debug shows where") from error
        finally:
            sys.argv = argv
        verb = self.config.subcommand
        self.config[verb].inherit = None
        if "weights_only" in self.config[verb]:
            self.config[verb].weights_only = True

    def _set_seed(self) -> None:
        """Set the seed, with a message for a seed out of range."""
        try:
            super()._set_seed()
        except ValueError as error:
            raise UserError(f"seed_everything: {error}") from None

    def _parse_ckpt_path(self) -> None:
        """Check the checkpoint; Lightning would let its hyperparameters override config and command line."""
        path = self.config[self.config.subcommand].get("ckpt_path")
        if not path or path in ("last", "hpc", "best", "registry"):
            return
        if "pytorch-lightning_version" not in self.read_checkpoint(path):  # Lightning can only read its own
            raise UserError(
                f"checkpoint {path} contains weights only, no training state; pass a checkpoint saved by `fit`. To "
                "start a new run from its network, use --model.init_args.training.init_from"
            )

    def instantiate_classes(self) -> None:
        """Check the data, then build everything; errors of constructors are reported in one line."""
        try:
            self._check_data()
            super().instantiate_classes()
        except _CONSTRUCTOR_ERRORS as error:
            raise UserError(error_reason(error)) from error

    def _check_data(self) -> None:
        """Build and check only the data module first: building a model can download weights, which takes longer."""
        parser = Parser()
        parser.add_class_arguments(self.datamodule_class, "data", fail_untyped=False)
        verb = self.config.subcommand
        # jsonargparse 4.49 renamed it.
        instantiate = parser.instantiate if hasattr(parser, "instantiate") else parser.instantiate_classes
        instantiate(Namespace(data=self.config[verb].data)).data.check(verb)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with atomic checkpoints, and our progress bar and summary unless others are configured."""

        def as_list(key: str) -> list[Any]:
            value = options.get(key) or []
            return value if isinstance(value, list) else [value]

        def uses_default(option: str, kind: type[Callback]) -> bool:
            return options.get(option) is not False and not any(isinstance(c, kind) for c in callbacks)

        options = self._get(self.config_init, "trainer")
        plugins, callbacks = [*as_list("plugins"), AtomicCheckpoints()], as_list("callbacks")
        if uses_default("enable_progress_bar", ProgressBar):
            callbacks.append(Progress())
        if uses_default("enable_model_summary", ModelSummary):
            callbacks.append(Summary())
            kwargs["enable_model_summary"] = False  # Lightning's own
        return super().instantiate_trainer(plugins=plugins, callbacks=callbacks, **kwargs)

    def before_fit(self) -> None:
        """Reject selection by test scores and overwriting a run; without validation, do not select checkpoints."""
        if self.trainer.is_global_zero:
            check_overwrite(run_folder(self.trainer), self.config[self.config.subcommand].get("ckpt_path"))
        if self.datamodule.validation is None:
            remove_selection(self.trainer)
            if not self.datamodule.test:
                self.trainer.limit_val_batches = 0  # Lightning would warn about an empty list of loaders
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            monitored = getattr(callback, "monitor", None)
            if isinstance(monitored, str) and monitored.startswith("test/"):
                raise UserError(
                    f"{type(callback).__name__} monitors {monitored}, a score on labels of a test set; expected a "
                    f"validation score, such as {self.selection}"
                )

    def fit(self, **kwargs: Any) -> None:
        """Train, and evaluate a run that ended without evaluation (stopped before its last one, or too short)."""
        self.trainer.fit(**kwargs)
        scored = any(name.startswith(("val/", "test/")) for name in self.trainer.callback_metrics)
        if not (scored or self.trainer.interrupted) and self.trainer.enable_validation:
            self.trainer.validate(kwargs["model"], datamodule=kwargs["datamodule"], verbose=False)

    def validate(self, **kwargs: Any) -> None:
        """Validate, and print one table."""
        self.trainer.validate(**{**kwargs, "verbose": False})
        if self.trainer.is_global_zero:
            self.print_scores()

    def test(self, **kwargs: Any) -> None:
        """Test, and print one table."""
        self.trainer.test(**{**kwargs, "verbose": False})
        if self.trainer.is_global_zero:
            self.print_scores()


A = TypeVar("A", bound=Application)


def run_application(kind: "type[A]", arguments: list[str]) -> A:
    """Run a verb.

    Args:
        kind: class of the command line.
        arguments: verb and options; configs may inherit.

    Raises:
        UserError: an error that the user can correct.
    """
    silence_lightning()
    try:
        return kind(expand_config_arguments(arguments))  # type: ignore[call-arg, arg-type]
    except MisconfigurationException as error:
        raise UserError(one_line(str(error))) from error

"""Parser of Lightning's command line with one-line errors, and filters for Lightning's own messages."""

import logging
import re
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from hamipose.errors import UserError

__all__ = ["Parser", "error_reason", "one_line", "silence_lightning"]


#: Beginnings of lines in jsonargparse's messages that do not help a user.
_NOISE = ("usage:", "tip:", "Given value", "Note:", "Subtypes:", "Errors:", "Expected a <class 'NoneType'>")


#: An option whose null was converted to text by Python.
_NONE = re.compile(r"^(--[^=\s]+)=None$")


#: Message if nothing remains of the parser's message.
_UNKNOWN = "the command line could not be read"


def error_reason(error: BaseException) -> str:
    """Return the message of the first error in a chain of errors, preferring a :class:`UserError`."""
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    user_errors = [one_line(str(e)) for e in chain if isinstance(e, UserError)]
    others = [line for line in (one_line(str(e)) for e in reversed(chain)) if line != _UNKNOWN]
    return [*user_errors, *others, _UNKNOWN][0]


def one_line(message: str) -> str:
    """Shorten a message of the parser to one line."""
    message = message.replace("Does not validate against any of the Union subtypes", "")
    lines = [re.sub(r"\s+", " ", line).strip(" -") for line in message.splitlines()]
    lines = [line for line in lines if line and not line.startswith(_NOISE)]
    line = " ".join(dict.fromkeys(lines)) or _UNKNOWN
    keys = re.match(r'(?:Parser key "[^"]*": )+', line)
    if keys:  # nested classes name their keys one by one
        line = ".".join(re.findall(r'"([^"]*)"', keys[0])) + ": " + line[keys.end() :]
    return line


class Parser(LightningArgumentParser):
    """Lightning's parser without abbreviations of options and without usage texts in errors."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_args(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:  # type: ignore[override]
        """Parse words as jsonargparse does, with `null` accepted at any depth.

        jsonargparse reads the value of a nested option as YAML and passes it to the parser of the class as text: for
        ``--model.init_args.training.init_from null`` that parser receives ``--training.init_from=None``, which is the
        text "None" if the option is a string.
        """
        if args is not None:
            args = [_NONE.sub(r"\1=null", word) if isinstance(word, str) else word for word in args]
        return super().parse_args(args, *others, **options)

    def error(self, message: str, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise a :class:`UserError` with a message of one line."""
        raise UserError(f"{one_line(message)}; --print_config shows every option that a config sets")


_LOG_MESSAGES = ("💡", "`weights_only` was not set", "TPU available")
_WARNINGS = (
    ".*across ranks is zero.*",  # a run without evaluation sets
    ".*LeafSpec.*",
    ".*does not have many workers.*",
    ".*in eval mode at the start of training.*",
    ".*The dirpath has changed from.*",
    ".*exists and is not empty.*",
    ".*your dataloader is not resumable.*",
)  # our data loader has no state, see data/sampling.py


def silence_lightning() -> None:
    """Suppress messages of Lightning that do not concern the run."""
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    for name in (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.pytorch.trainer.connectors.checkpoint_connector",
    ):
        logging.getLogger(name).addFilter(lambda record: not record.getMessage().startswith(_LOG_MESSAGES))

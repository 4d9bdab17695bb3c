"""A command line parser without abbreviations and usage walls, and a quieter Lightning. Nothing here knows of poses."""

import logging
import re
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from hamipose.errors import UserError

__all__ = ["Parser", "one_line", "quieten", "reason"]


#: Lines of the parser's paragraphs that say nothing to a user.
_NOISE = ("usage:", "tip:", "Given value", "Note:", "Subtypes:", "Errors:", "Expected a <class 'NoneType'>")


#: An option whose value was read as null and written out as Python writes it.
_NONE = re.compile(r"^(--[^=\s]+)=None$")


#: Where nothing is left to say.
_UNSAID = "the command line could not be read"


def reason(error: BaseException) -> str:
    """What an error that came of another says: what was refused at first, as far as that says anything."""
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    refused = [one_line(str(e)) for e in chain if isinstance(e, UserError)]
    said = [line for line in (one_line(str(e)) for e in reversed(chain)) if line != _UNSAID]
    return [*refused, *said, _UNSAID][0]


def one_line(message: str) -> str:
    """What a parser's paragraph says, in a line."""
    message = message.replace("Does not validate against any of the Union subtypes", "")
    lines = [re.sub(r"\s+", " ", line).strip(" -") for line in message.splitlines()]
    lines = [line for line in lines if line and not line.startswith(_NOISE)]
    line = " ".join(dict.fromkeys(lines)) or _UNSAID
    keys = re.match(r'(?:Parser key "[^"]*": )+', line)
    if keys:  # nested classes name their keys one by one
        line = ".".join(re.findall(r'"([^"]*)"', keys[0])) + ": " + line[keys.end() :]
    return line


class Parser(LightningArgumentParser):
    """Neither abbreviations nor usage walls."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_args(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:  # type: ignore[override]
        """Parse words as jsonargparse does, with `null` understood at any depth.

        jsonargparse reads the value of a nested option as YAML and passes it to the parser of the class as text: of
        ``--model.init_args.training.init_from null`` that parser would be given ``--training.init_from=None``, which is
        the text "None" for an option that takes text.
        """
        if args is not None:
            args = [_NONE.sub(r"\1=null", word) if isinstance(word, str) else word for word in args]
        return super().parse_args(args, *others, **options)

    def error(self, message: str, *args: Any, **kwargs: Any) -> NoReturn:
        """One line, and the front door's exit status."""
        raise UserError(f"{one_line(message)}; --print_config shows every option that a config sets")


_TALK = ("💡", "`weights_only` was not set", "TPU available")
_CHATTER = (
    ".*across ranks is zero.*",  # a run without sets to evaluate on
    ".*LeafSpec.*",
    ".*does not have many workers.*",
    ".*in eval mode at the start of training.*",
    ".*The dirpath has changed from.*",
    ".*exists and is not empty.*",
    ".*your dataloader is not resumable.*",
)  # ours needs no state: see data/stream.py


def quieten() -> None:
    """Leaves out what Lightning says about itself, so that what concerns the run can be seen."""
    for message in _CHATTER:
        warnings.filterwarnings("ignore", message=message)
    for name in (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.pytorch.trainer.connectors.checkpoint_connector",
    ):
        logging.getLogger(name).addFilter(lambda record: not record.getMessage().startswith(_TALK))

"""Entry point of both command lines: prints help at once, imports only the module of a verb, errors in one line."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module

from hamipose.errors import UserError
from hamipose.extras import missing_extra
from hamipose.io.atomic_file import NO_SPACE

__all__ = ["run_command_line"]

#: Verbs of Lightning's command line; `predict` only with a config.
_TRAINING = ("fit", "validate", "test", "predict")


def run_command_line(arguments: Sequence[str] | None, package: str, text: str, verbs: Mapping[str, str]) -> int:
    """Run a verb.

    Args:
        arguments: arguments after the program's name; default: those of the process.
        package: name of the package; `run` of its module ``training`` runs fit, validate, test and predict.
        text: text of the help.
        verbs: verb → module with a function `main`, called with the arguments after the verb.

    Returns:
        The exit status: 0 for success, 2 for an error that the user can correct, 130 if interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if not words or words[0] in ("-h", "--help", "help"):
        print(text, end="")
        return 0
    try:
        with _warnings():
            _run(words[0], words[1:], package, verbs)
        sys.stdout.flush()  # reports a full disk here, not at exit
    except (UserError, OSError) as error:
        _close_broken_output(error)
        if debug:
            raise
        print(f"error: {_line(error)}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if debug or missing is None:
            raise
        print(f"error: {missing}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _warnings() -> Iterator[None]:
    """Print each warning of the packages' logger on one line of standard error, unless the program handles it."""
    logger = logging.getLogger("hamipose")
    if logger.hasHandlers():
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _close_broken_output(error: UserError | OSError) -> None:
    """Redirect standard output to the null device if it cannot be written, because Python would report it again."""
    if isinstance(error, OSError) and error.filename is None and _output_fails():
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]


def _output_fails() -> bool:
    """Return whether the buffered text of standard output cannot be written."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return True
    return False


def _line(error: UserError | OSError) -> str:
    """Return the message in one line."""
    message = str(error)
    if message.startswith("Caught "):  # from a worker process: torch puts the traceback first
        message = message.rstrip().splitlines()[-1].partition(": ")[2]
        if isinstance(error, OSError):
            full = any(os.strerror(number) in message for number in NO_SPACE)
            return f"a worker process failed ({message}); {_advice(full)} (--debug shows where)"
        return message
    if not isinstance(error, OSError):
        return " ".join(message.split("\n"))
    detail = " ".join((error.strerror or message or type(error).__name__).split())
    path = error.filename2 or error.filename
    if path is None:
        return f"a file cannot be read or written ({detail}); {_advice(error.errno in NO_SPACE)} (--debug shows where)"
    return f"{path} cannot be used ({detail}); {_advice(error.errno in NO_SPACE)}"


def _advice(full: bool) -> str:
    return "free some space, or give another path" if full else "give another path"


def _run(verb: str, rest: list[str], package: str, verbs: Mapping[str, str]) -> None:
    has_config = any(word.split("=")[0] in ("--config", "-c", "--print_config") for word in rest)
    if verb in _TRAINING and (has_config or verb not in verbs):
        import_module(f"{package}.training").run([verb, *rest])
    elif verb in verbs:
        import_module(verbs[verb]).main(rest)
    elif verb == "--version":
        print(import_module(package).__version__)
    else:
        known = list(dict.fromkeys([*_TRAINING, *verbs]))
        raise UserError(f"unknown verb {verb!r}; expected {', '.join(known[:-1])} or {known[-1]}")

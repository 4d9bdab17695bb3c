"""One-line error messages from the messages of a parser."""

from itertools import pairwise

from hamipose.command_line.parser import error_reason
from hamipose.errors import UserError

_WALL = "Does not validate against any of the Union subtypes\nSubtypes: [None, X]\nErrors:\n  - weights: no file a\n"


def raised(*errors: Exception) -> Exception:
    """Return the first error, caused by the second, which is caused by the third."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def test_error_reason_finds_the_first_user_error() -> None:
    nothing = ValueError("Expected a <class 'NoneType'>. Got value: Namespace(a=1)")
    assert error_reason(raised(ValueError(_WALL), UserError("weights: no file a"))) == "weights: no file a"
    assert error_reason(raised(ValueError(_WALL), nothing)) == "weights: no file a"  # as in jsonargparse 4.45
    assert (
        error_reason(raised(TypeError("around"), TypeError("unexpected keyword 'gamma'")))
        == "unexpected keyword 'gamma'"
    )
    assert error_reason(nothing) == "the command line could not be read"

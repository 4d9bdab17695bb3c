"""What is left of a parser's account of a mistake."""

from itertools import pairwise

from hamipose.command_line.parser import error_reason
from hamipose.errors import UserError

_WALL = "Does not validate against any of the Union subtypes\nSubtypes: [None, X]\nErrors:\n  - weights: no file a\n"


def raised(*errors: Exception) -> Exception:
    """The first, come of the second, come of the third."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def test_what_was_refused_is_told_wherever_it_stands() -> None:
    nothing = ValueError("Expected a <class 'NoneType'>. Got value: Namespace(a=1)")
    assert error_reason(raised(ValueError(_WALL), UserError("weights: no file a"))) == "weights: no file a"
    assert error_reason(raised(ValueError(_WALL), nothing)) == "weights: no file a"  # so has jsonargparse 4.45
    assert error_reason(raised(TypeError("around"), TypeError("unexpected keyword 'gamma'"))) == "unexpected keyword 'gamma'"
    assert error_reason(nothing) == "the command line could not be read"

"""Check types in signatures during tests: shapes of arrays with jaxtyping, all other hints with beartype alone."""

from collections.abc import Callable
from inspect import isfunction
from typing import Any, ForwardRef, TypeVar, get_args

import jaxtyping
from beartype import beartype

__all__ = ["check_types"]

_jaxtyped = jaxtyping.jaxtyped
_ARRAY = type(jaxtyping.AbstractArray)


def check_types(*packages: str) -> None:
    """Check the types of all functions in packages that are imported later.

    jaxtyping's import hook wraps every function, at 14 µs per call and 2 ms per function, again each time a nested
    function is defined. Functions without arrays in their signature only need beartype (1 µs and 0.9 ms).
    """
    jaxtyping.jaxtyped = _checked  # type: ignore[assignment]
    jaxtyping.install_import_hook(packages, "beartype.beartype")


def _checked(**options: Any) -> Callable[[Any], Any]:
    """Return the decorator that the import hook applies."""
    check_shapes = _jaxtyped(**options)

    def decorate(kind: Any) -> Any:
        needs_jaxtyping = not isfunction(kind) or any(map(_is_special, kind.__annotations__.values()))
        return check_shapes(kind) if needs_jaxtyping else beartype(kind)

    return decorate


def _is_special(hint: Any) -> bool:
    """Return whether a hint contains an array, or a name as text, which jaxtyping ignores if it is not imported."""
    if isinstance(hint, TypeVar):
        return any(map(_is_special, (hint.__bound__, *hint.__constraints__)))
    if isinstance(hint, (_ARRAY, str, ForwardRef)):
        return True
    return any(map(_is_special, hint if isinstance(hint, list) else get_args(hint)))

"""Check types in signatures during tests: shapes of arrays with jaxtyping, all other hints with beartype alone."""

import functools
import inspect
from collections import Counter
from collections.abc import Callable
from threading import local
from types import CodeType
from typing import Any, ForwardRef, TypeVar, get_args

import jaxtyping
import numpy as np
import torch
from beartype import beartype

__all__ = ["check_types"]

_jaxtyped = jaxtyping.jaxtyped
_ARRAY = type(jaxtyping.AbstractArray)
_LARGEST = 16  # entries of a collection that is described; calls with larger ones are always checked
_KEPT = 10_000  # remembered calls of a function
_DEFINITIONS = 20  # definitions of a nested function that are checked; each takes a millisecond
_defined: Counter[CodeType] = Counter()


def check_types(*packages: str) -> None:
    """Check the types of all functions in packages that are imported later.

    jaxtyping's import hook wraps every function, at 14 µs per call and 2 ms per function, again each time a nested
    function is defined. Functions without arrays in their signature only need beartype (1 µs and 0.9 ms). Checks of
    arrays take 20 µs each, a quarter of all tests; calls with the same shapes and types as an earlier one skip them.
    """
    jaxtyping.jaxtyped = _checked  # type: ignore[assignment]
    jaxtyping.install_import_hook(packages, "beartype.beartype")


def _checked(**options: Any) -> Callable[[Any], Any]:
    """Return the decorator that the import hook applies."""
    check_shapes = _jaxtyped(**options)

    def decorate(kind: Any) -> Any:
        if not inspect.isfunction(kind):
            return _check_fields_once(kind, check_shapes)
        if "<locals>" in kind.__qualname__:  # defined anew in each call of the function around it
            _defined[kind.__code__] += 1
            if _defined[kind.__code__] > _DEFINITIONS:
                return kind
        if not any(map(_is_special, kind.__annotations__.values())):
            return beartype(kind)
        return _check_once(kind, check_shapes)

    return decorate


def _is_special(hint: Any) -> bool:
    """Return whether a hint contains an array, or a name as text, which jaxtyping ignores if it is not imported."""
    if isinstance(hint, TypeVar):
        return any(map(_is_special, (hint.__bound__, *hint.__constraints__)))
    if isinstance(hint, (_ARRAY, str, ForwardRef)):
        return True
    return any(map(_is_special, hint if isinstance(hint, list) else get_args(hint)))


# ------------------------------------------------------------------------------------------------ remembered calls


def _check_once(function: Callable[..., Any], check_shapes: Callable[[Any], Any]) -> Callable[..., Any]:
    """Check only calls of a function whose arguments or result differ in shape or type from those of earlier calls.

    The checks depend on nothing but shapes, types and, for literals, short text. If the result of remembered arguments
    is new, it is checked with a stub of the same signature that returns it.
    """
    checked = check_shapes(function)
    if inspect.isgeneratorfunction(function) or any("{" in str(hint) for hint in function.__annotations__.values()):
        return checked  # a size such as "{count}" depends on values
    box = local()
    stub: list[Callable[..., Any]] = []

    def check_result(result: Any, arguments: Any, options: Any) -> None:
        if not stub:
            stub.append(check_shapes(_stub(function, box)))
        box.result = result
        stub[0](*arguments, **options)

    return _remember(function, checked, check_result)


def _check_fields_once(kind: Any, check_shapes: Callable[[Any], Any]) -> Any:
    """Do the same for the fields of a dataclass, which are checked when an object is made."""
    make = kind.__init__
    kind = check_shapes(kind)
    if kind.__init__ is not make:
        kind.__init__ = _remember(make, kind.__init__, lambda *call: None)
    return kind


def _remember(
    function: Callable[..., Any], checked: Callable[..., Any], check_result: Callable[[Any, Any, Any], None]
) -> Callable[..., Any]:
    """Return a function that calls `function` if the same shapes and types have passed before, else `checked`."""
    passed: dict[Any, set[Any]] = {}

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        if torch.compiler.is_compiling():
            return function(*arguments, **options)
        try:
            given = tuple([_describe(value) for value in arguments])
            if options:
                given = given, tuple([(name, _describe(value)) for name, value in options.items()])
        except _TooLargeError:
            return checked(*arguments, **options)
        outcomes = passed.get(given)
        result = (checked if outcomes is None else function)(*arguments, **options)
        try:
            outcome = _describe(result)
        except _TooLargeError:
            outcome = None
        if outcomes is not None and (outcome is None or outcome not in outcomes):
            check_result(result, arguments, options)
        if outcome is not None and len(passed) < _KEPT:
            passed.setdefault(given, set()).add(outcome)
        return result

    return call


class _TooLargeError(Exception):
    """A value is too large to be described."""


def _describe(value: Any) -> Any:
    """Return what type checks depend on, as a value that can be compared.

    Raises:
        _TooLargeError: a collection has too many entries.
    """
    kind = type(value)
    describe = _DESCRIBE.get(kind)
    if describe is None:
        found = (describe for base, describe in _DESCRIBE.items() if issubclass(kind, base))
        describe = _DESCRIBE[kind] = next(found, type)
    return describe(value)


def _describe_entries(value: Any) -> Any:
    if len(value) > _LARGEST:
        raise _TooLargeError
    return (type(value), *map(_describe, value.items() if isinstance(value, dict) else value))


def _describe_array(value: Any) -> Any:
    return type(value), value.dtype, value.shape


def _describe_text(value: str) -> Any:
    return type(value), value if len(value) < 40 else None


def _describe_value(value: Any) -> Any:
    return type(value), value


#: How to describe values of a class and its subclasses; others are described by their class.
_DESCRIBE: dict[type, Callable[[Any], Any]] = {
    torch.Tensor: _describe_array,
    np.ndarray: _describe_array,
    str: _describe_text,
    bool: _describe_value,
    type: _describe_value,  # a class is no object of the class
    **dict.fromkeys((tuple, list, dict, set, frozenset), _describe_entries),
}


class _Default:
    """The default of an option in the text of a signature."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        """Return the expression of the default."""
        return f"_defaults[{self.name!r}]"


def _stub(function: Callable[..., Any], box: local) -> Callable[..., Any]:
    """Return a function with the signature of another one that returns `box.result`."""
    signature = inspect.signature(function)
    empty = inspect.Parameter.empty
    parameters = [
        p.replace(annotation=empty, default=empty if p.default is empty else _Default(p.name))
        for p in signature.parameters.values()
    ]
    text = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    defaults = {p.name: p.default for p in signature.parameters.values() if p.default is not empty}
    names: dict[str, Any] = {"_defaults": defaults, "_box": box}
    exec(f"def stub{text}:\n    return _box.result", names)
    stub = names["stub"]
    for name in ("__annotations__", "__module__", "__qualname__", "__name__"):
        setattr(stub, name, getattr(function, name))
    return stub

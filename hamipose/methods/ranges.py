"""Numbers of a method's options that must lie where they mean something."""

__all__ = ["at_least", "fraction"]


def at_least(least: float | int, **options: float | int) -> None:
    """Refuses what is smaller, and what is not a number.

    Args:
        least: the smallest that is right.
        options: by their names.

    Raises:
        ValueError: one is wrong.
    """
    for name, value in options.items():
        if not value >= least:
            raise ValueError(f"{name} is {value}: expected a number of at least {least}")


def fraction(**options: float | int) -> None:
    """Refuses what is not a share from 0 to 1.

    Args:
        options: by their names.

    Raises:
        ValueError: one is wrong.
    """
    for name, value in options.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}: expected a share from 0 to 1")

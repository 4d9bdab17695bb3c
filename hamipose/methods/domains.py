"""Whether the data have the domains that a method compares."""

from typing import Any

from hamipose.errors import UserError

__all__ = ["check_domains"]


def check_domains(method: str, data: Any, domains: int) -> None:
    """Before training.

    Args:
        method: name of the class.
        data: the data module, or None.
        domains: number that the method compares.

    Raises:
        UserError: there are fewer than two, or another number of looks of the source.
    """
    views = getattr(data, "source_views", None)
    found = len(views) if isinstance(views, list) else 1
    if domains < 2 or (data is not None and found != domains):
        raise UserError(
            f"{method} compares {domains} domains and data.source_views makes {found}: expected the same number, 2 or "
            "more; give a list, such as data.source_views: [hamipose, strong]"
        )

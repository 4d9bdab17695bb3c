"""The one exception that means: the user can put this right."""

__all__ = ["UserError"]


class UserError(ValueError):
    """Bad input, told in one line: what was found, where, what was expected, what to do.

    The command line prints the message alone and exits with status 2.
    """

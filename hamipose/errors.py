"""The exception for errors that the user can fix."""

__all__ = ["UserError"]


class UserError(ValueError):
    """Invalid input, described in one line: where, what was found, what was expected, what to do.

    The command line prints only the message and exits with status 2.
    """

"""The errors a user can meet, each with the exit code that the command line gives it.

Every message says what is wrong, where (file, column, row, key) and what to do about it.
"""

from collections.abc import Sequence


class LongtailError(Exception):
    """Something failed that the user should read about; exit code 1."""

    exit_code = 1


class InputError(LongtailError):
    """Wrong usage, configuration or data; nothing was written; exit code 2.

    Attributes:
        problems: each of several problems as one line; empty where the message is one problem.
    """

    exit_code = 2

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class GateRefusedError(LongtailError):
    """The release gate did not approve a version; the served one stays; exit code 3."""

    exit_code = 3

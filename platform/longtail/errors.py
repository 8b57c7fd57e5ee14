"""The errors that a user can meet, each with its exit code on the command line.

Every message says what is wrong, where (file, column, row, key) and what to do about it.
"""

from collections.abc import Sequence


class LongtailError(Exception):
    """A failure that the user should read about; exit code 1."""

    exit_code = 1


class InputError(LongtailError):
    """Wrong usage, configuration or data; exit code 2. Nothing was written.

    Attributes:
        problems: one line for each of several problems; empty if the message is one problem.
    """

    exit_code = 2

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class GateRefusedError(LongtailError):
    """The gate did not approve a version; exit code 3. The served version stays."""

    exit_code = 3

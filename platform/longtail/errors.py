"""The errors that a user can meet, each with its exit code on the command line.

Every message says what is wrong, where (file, column, row, key) and what to do about it.
"""

from collections.abc import Mapping, Sequence


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
    """The gate did not approve a version; exit code 3. The served version stays.

    Attributes:
        version: the version.
        rulings: for each rule, met or not: `{"rule", "passed", "figures", "cure"}`.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        version: str | None = None,
        rulings: Sequence[Mapping[str, str | bool]] = (),
    ) -> None:
        super().__init__(message)
        self.version = version
        self.rulings = tuple(rulings)

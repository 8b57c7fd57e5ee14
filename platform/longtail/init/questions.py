"""A question that the tables leave open: the choices, and the option that answers it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from longtail.errors import InputError

# The fields of `project_plan.Request` that answer a question.
Field = Literal["item_key", "query_key", "time_column", "time_format", "weight"]


@dataclass(frozen=True)
class Choice:
    """One answer to a question.

    Attributes:
        answer: the value for the option, such as `id=sku`.
        reason: what speaks for it, with a sample of its values; in words for the user.
    """

    answer: str
    reason: str


class OpenQuestion(InputError):
    """Several readings of the tables fit equally well, so the user has to choose.

    On a terminal `longtail init` asks; elsewhere it ends with the message, which lists the choices.

    Attributes:
        question: one line without a full stop, such as "which column identifies the items".
        field: the field of the request that takes the answer.
        choices: the answers, at least one.
    """

    def __init__(self, question: str, field: Field, choices: Sequence[Choice]) -> None:
        """Make the error's message from the parts."""
        self.question, self.field, self.choices = question, field, tuple(choices)
        option = "--" + field.replace("_", "-")
        listed = "; ".join(
            f"{option} {quote(choice.answer)} ({choice.reason})" for choice in choices
        )
        super().__init__(f"{question}? Nothing in the tables decides it. Choose one of: {listed}")


def quote(answer: str) -> str:
    """Return an answer as one writes it in a shell."""
    import shlex

    return shlex.quote(answer)

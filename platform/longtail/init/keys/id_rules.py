"""Rules that make ids alike: one table writes `A7 ` or `007`, the other `a7` or `7`."""

from collections.abc import Callable, Mapping, Sequence


def _strip_zeros(text: str) -> str:
    # An id of nothing but zeros stays an id.
    return f"CASE WHEN ltrim({text}, '0') = '' THEN '0' ELSE ltrim({text}, '0') END"


# The values of the option `--ids`, each with SQL over the text of an id.
ID_RULES: Mapping[str, Callable[[str], str]] = {
    "trim": lambda text: f"trim({text})",
    "lower": lambda text: f"lower({text})",
    "strip-zeros": _strip_zeros,
}
# What differs between two ids that a rule makes alike, in words for the user.
DIFFERENCES: Mapping[str, str] = {
    "trim": "blanks at the ends",
    "lower": "upper and lower case",
    "strip-zeros": "leading zeros",
}


def apply_rules(text: str, rules: Sequence[str]) -> str:
    """Return SQL for an id after the rules, in the order of `ID_RULES`.

    Args:
        text: SQL for the id as text.
        rules: keys of `ID_RULES`.
    """
    for name, rule in ID_RULES.items():
        if name in rules:
            text = rule(text)
    return text

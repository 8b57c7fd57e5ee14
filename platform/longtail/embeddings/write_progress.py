"""The rule for progress lines while rows are written: one line for each tenth."""


def passes_tenth(before: int, after: int, total: int) -> bool:
    """Return whether a count that grows from `before` to `after` passes a tenth of `total`."""
    return 10 * after // total > 10 * before // total

"""The table of the strongest value associations on an asset's page."""

import re
from collections.abc import Mapping
from typing import Any

from dagster import MetadataValue

# More pairs would bloat the event log; `correlations.json` has all of them.
_MAX_PAIRS = 40
_MAX_VALUE_PAIRS = 3
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&])")


def association_table(document: Mapping[str, Any]) -> MetadataValue[Any]:
    """Return a Markdown table of feature pairs, the most correlated first, with value pairs.

    Args:
        document: the result of `mine_correlations`.
    """
    from longtail.correlation.display_text import readable_value, short_number

    place = {name: index for index, name in enumerate(document["features"])}

    def correlation(pair: Mapping[str, Any]) -> float:
        left, right = (place[name] for name in pair["features"])
        return float(document["matrix"][left][right])

    # Values come from people's data: none of them may be read as Markdown or HTML.
    def plain(value: str | int | None) -> str:
        return _MARKUP.sub(r"\\\1", readable_value(value))

    def value_pairs(pair: Mapping[str, Any]) -> str:
        if pair["near_unique"]:
            names = " and ".join(map(plain, pair["near_unique"]))
            return f"hardly two items share a value of {names}"
        return "<br>".join(
            " · ".join(map(plain, each["values"]))
            + f": {each['items']:,.0f} items, {each['lift']:,.1f} times chance"
            for each in pair["value_pairs"][:_MAX_VALUE_PAIRS]
        )

    ranked = sorted(document["associations"], key=correlation, reverse=True)
    rows = [
        f"| {' · '.join(map(plain, pair['features']))} | {short_number(correlation(pair))} "
        f"| {value_pairs(pair) or 'none'} |"
        for pair in ranked[:_MAX_PAIRS]
    ]
    header = ["| features | correlation | strongest value pairs |", "| --- | --: | --- |"]
    left_out = len(ranked) - len(rows)
    note = [f"\n{left_out} weaker pairs are in `correlations.json`."] if left_out else []
    return MetadataValue.md("\n".join([*header, *rows, *note]))

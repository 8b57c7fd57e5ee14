"""Quirks of the numbers beside an interaction: weights, and what is none."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tests.init.files.draft import PARQUET, Column, Draft, Format, Quirk
from tests.init.files.tidy import name_answers

ALL: tuple[Format, ...] = (*PARQUET, "csv")


def _weights(
    draft: Draft,
    make: Callable[[Draft, int], Any],
    kind: pa.DataType,
    *,
    refused: bool = False,
    required: bool = False,
    name: str = "weight",
) -> None:
    values = [make(draft, n) for n in range(draft.num_rows("interactions"))]
    truth = [None if value is None or not math.isfinite(float(value)) else float(value)
             for value in values]  # fmt: skip
    draft.tables["interactions"].append(Column(name, values, kind, "weight", "weight", truth))
    name_answers(draft)
    if refused or required:
        draft.excuse(name, required=required)


def _number(name: str, highest: int, kind: pa.DataType | None = None) -> Callable[[Draft], None]:
    """Return a quirk that adds small whole numbers, which are no ids."""

    def apply(draft: Draft) -> None:
        values = (draft.random.integers(highest, size=draft.num_rows("interactions")) + 1).tolist()
        if kind is not None and pa.types.is_floating(kind):
            values = [float(value) for value in values]
        column = Column(name, values, kind or pa.int64(), "other", name)
        draft.tables["interactions"].insert(0, column)
        draft.answers["weight"] = name

    return apply


def _varied(draft: Draft, n: int) -> float:
    return round(float(draft.random.uniform(0.5, 5)), 2)


WEIGHTS: dict[str, tuple[Callable[[Draft, int], Any], pa.DataType, dict[str, Any]]] = {
    "all 1": (lambda draft, n: 1, pa.int64(), {}),
    "all 1.0": (lambda draft, n: 1.0, pa.float64(), {}),
    "varied": (_varied, pa.float64(), {}),
    "whole": (lambda draft, n: 1 + n % 5, pa.int32(), {}),
    "some 0": (lambda draft, n: float(n % 4), pa.float64(), {}),
    "all 0": (lambda draft, n: 0, pa.int64(), {"required": True}),
    "all 0.0": (lambda draft, n: 0.0, pa.float64(), {"required": True}),
    "few missing": (lambda draft, n: None if n % 100 == 1 else 1.5, pa.float64(), {}),
    "half missing": (
        lambda draft, n: None if n % 2 else 1.5, pa.float64(), {"refused": True}),
    "few infinite": (
        lambda draft, n: math.inf if n % 100 == 1 else 1.5, pa.float64(), {"refused": True}),
    "half infinite": (
        lambda draft, n: math.inf if n % 2 else 1.5, pa.float64(), {"required": True}),
    "half NaN": (
        lambda draft, n: math.nan if n % 2 else 1.5, pa.float64(), {"refused": True}),
    "all missing": (lambda draft, n: None, pa.float64(), {"required": True}),
    "negative": (lambda draft, n: 1.0 - n % 3, pa.float64(), {"required": True}),
    "decimal": (lambda draft, n: Decimal(1 + n % 4), pa.decimal128(9, 2), {}),
}  # fmt: skip


def _text_weights(draft: Draft) -> None:
    values = [f"{1 + n % 4}.5" for n in range(draft.num_rows("interactions"))]
    truth = [float(value) for value in values]
    column = Column("weight", values, pa.string(), "weight", "weight", truth)
    draft.tables["interactions"].append(column)
    draft.excuse("weight")


def _word_weights(draft: Draft) -> None:
    values = ["view", "buy"] * (draft.num_rows("interactions") // 2 + 1)
    values = values[: draft.num_rows("interactions")]
    draft.tables["interactions"].append(Column("weight", values, pa.string(), "other"))
    draft.excuse("weight", required=True)


QUIRKS = [
    *(
        Quirk(f"weight: {name}", "weights",
              lambda draft, make=make, kind=kind, more=more: _weights(draft, make, kind, **more),
              PARQUET if name == "all missing" else ALL)
        for name, (make, kind, more) in WEIGHTS.items()
    ),
    Quirk("weight: Weight", "weights",
          lambda draft: _weights(draft, _varied, pa.float64(), name="Weight")),
    Quirk("weight: text of numbers", "weights", _text_weights, PARQUET),
    Quirk("weight: words", "weights", _word_weights),
    *(
        Quirk(f"first column: {name}", "numbers", _number(name, highest))
        for name, highest in (
            *(("rating", 5), ("score", 100), ("count", 30), ("quantity", 9), ("stars", 5)),
            *(("num_views", 40), ("position", 20), ("playcount", 60), ("purchases", 9)),
        )
    ),
    Quirk("first column: float rating", "numbers", _number("Rating", 5, pa.float64())),
]  # fmt: skip

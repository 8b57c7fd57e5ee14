"""Measures the correlations of a day's catalogue, or of a sample; dense features as bins."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from ibis.expr.types import Table

from longtail.artifacts import RunPaths
from longtail.config import Config
from longtail.correlation.correlation_matrix import Joint, correlation_matrix
from longtail.correlation.daily_counts import counts_of_day
from longtail.correlation.dense import is_dense, with_bins
from longtail.correlation.engine import connected, held
from longtail.correlation.measures import DECIMALS, Measure
from longtail.correlation.sample import error_from_halves, num_halvings, sampled

log = logging.getLogger("longtail.correlation")


@dataclass(frozen=True)
class Figures:
    """The correlations of a catalogue's features.

    Attributes:
        matrix: see `correlation_matrix`.
        errors: the estimated error of each figure, in the shape of `matrix`; None if the whole
            catalogue was measured.
        sample_fraction: the share of the catalogue that was measured.
        num_items: the number of items that were measured.
    """

    matrix: np.ndarray
    errors: np.ndarray | None
    sample_fraction: float
    num_items: int

    def to_json(self) -> dict[str, Any]:
        """Return the figures as `correlations.json` holds them."""
        return {
            "matrix": self.matrix.tolist(),
            "errors": None if self.errors is None else self.errors.tolist(),
            "sample_fraction": self.sample_fraction,
            "num_items": self.num_items,
        }


@dataclass(frozen=True)
class MeasuredItems:
    """The items of a day to be measured, on the engine that counts them.

    Attributes:
        table: one row for each item: the features, dense ones as bins.
        halvings: the number of times the catalogue was halved; see `sample.sampled`.
        binned: whether there are dense features.
        backend: the engine, as an ibis backend.
    """

    table: Table
    halvings: int
    binned: bool
    backend: Any


@contextmanager
def measured_items(config: Config, as_of: date, features: list[str]) -> Iterator[MeasuredItems]:
    """Yield a day's catalogue on the configured engine, sampled if it exceeds the row budget.

    Args:
        config: the project; its section `correlation` is read.
        as_of: a day that has a catalogue.
        features: columns, the item key first.
    """
    settings = config.correlation
    path = RunPaths(config, as_of).catalogue_files.items
    with connected(settings) as backend:
        items = backend.read_parquet(str(path)).select(*features)
        halvings = 0
        if settings.row_budget is not None:
            halvings = num_halvings(_count(items), settings.row_budget)
        binned = any(is_dense(items[name]) for name in features)
        table = sampled(items, features[0], halvings)
        if binned:
            table = with_bins(table, settings.quantile_bins, features[0])
        if halvings or binned:
            table = held(table)  # otherwise every pair would sample and sort again
        yield MeasuredItems(table, halvings, binned, backend)


def measure_items(
    config: Config, as_of: date, items: MeasuredItems, features: list[str], measure: Measure
) -> Figures:
    """Measure every pair of features, and the error of each figure if the items are a sample."""
    settings = config.correlation
    joint: Joint | None = None
    # Counts of an earlier day can be reused only while a value means the same on both days.
    if settings.keep_counts and items.binned:
        log.warning("pair counts are not kept: the bins of dense features move from day to day")
    elif settings.keep_counts:
        counts = counts_of_day(config, as_of, items.backend, items.table, features, items.halvings)
        joint = counts.joint

    def matrix(table: Table, stored: Joint | None = None) -> np.ndarray:
        return correlation_matrix(
            table,
            features,
            measure,
            settings.missing,
            num_shuffles=settings.chance_shuffles,
            codes_gib=settings.memory_gib / 2,
            joint=stored,
        )

    whole = matrix(items.table, joint)
    errors = None
    if items.halvings:
        # Both halves are measured too: how far they are from the sample tells its error.
        key = features[0]
        first, second = (matrix(sampled(items.table, key, items.halvings, h)) for h in (0, 1))
        errors = error_from_halves(whole, (first, second)).round(DECIMALS)
    return Figures(whole, errors, 0.5**items.halvings, _count(items.table))


def _count(table: Table) -> int:
    return int(table.count().to_pyarrow().as_py())

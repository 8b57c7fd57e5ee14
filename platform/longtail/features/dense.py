"""Dense features: numbers and vectors that were computed elsewhere, checked and normalised.

A vector is scaled to unit length, a number by the catalogue's mean and deviation, so that one
learning rate fits both. A null, an empty list, and a vector of zeros (it has no direction) count
as missing, as an unknown category does.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail.errors import InputError
from longtail.features.finding import MAX_EXAMPLES, Finding, TableName
from longtail.features.schema import Feature, Scale

Float32Array = npt.NDArray[np.float32]
Values: TypeAlias = pa.Array | pa.ChunkedArray
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

MOST_DEVIATIONS = 10.0
"""Numbers further from the mean are clipped to this: one outlier must not drown the rest."""

ONE_CHUNK = 1 << 24
"""Numbers that are hashed at a time, so that the copies that hashing makes stay small."""


def dense_findings(
    rows: pa.Table, columns: Sequence[str], key: str, table: TableName, source: str
) -> list[Finding]:
    """Find values that are not finite, and vectors of a wrong length or with a null inside.

    The length that most vectors of a column have is the right one.

    Args:
        rows: the table's rows, in its order.
        columns: the columns to check: numbers, or lists of numbers.
        key: the column that names a row.
        table: the table that the rows are from.
        source: the table's name in messages.

    Returns:
        one finding per column and problem.
    """
    findings = []
    for column in columns:
        for bad, problem, cure in _bad_values(rows[column]):
            places = np.flatnonzero(bad)
            if not len(places):
                continue
            first = int(places[0])
            value = rows[column][first].as_py()
            # A vector may have thousands of numbers, too many for a message.
            shown = f"a list of {len(value)} numbers" if isinstance(value, list) else str(value)
            examples = [
                {"row": int(row), key: rows[key][int(row)].as_py()} for row in places[:MAX_EXAMPLES]
            ]
            findings.append(
                Finding(
                    f"column `{column}` of {source} {problem} in {len(places)} of {len(bad)} rows, "
                    f"first in row {first} (counted from 0; `{key}` = {examples[0][key]!r}), which "
                    f"has {shown}",
                    cure,
                    source=source,
                    table=table,
                    column=column,
                    num_rows=len(places),
                    examples=tuple(examples),
                )
            )
    return findings


def _bad_values(values: pa.ChunkedArray) -> Iterator[tuple[npt.NDArray[np.bool_], str, str]]:
    """Yield the wrong rows (a mask, `[num_rows]`), what is wrong with them, and the cure."""
    unknown = "write null where a value is not known"
    if not pa.types.is_list(values.type):
        yield _not_finite(values), "is not finite", unknown
        return
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    bad = np.zeros(len(lengths), np.bool_)
    flat = pc.list_flatten(values)
    bad[owner[_not_finite(flat) | _is_null(flat)]] = True
    yield bad, "has a number that is null or not finite", unknown
    # One model makes vectors of one length, so the few that differ are the wrong ones.
    present = lengths[lengths > 0]
    expected = int(np.bincount(present).argmax()) if len(present) else 0
    yield (
        (lengths > 0) & (lengths != expected),
        f"has vectors of another length than most ({expected} numbers)",
        "compute all vectors of a column with one model, and write null where there is none",
    )


def _not_finite(values: Values) -> npt.NDArray[np.bool_]:
    finite = pc.fill_null(pc.is_finite(values), True)
    return ~np.asarray(finite.to_numpy(zero_copy_only=False), np.bool_)


def _is_null(values: Values) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.is_null(values).to_numpy(zero_copy_only=False), np.bool_)


def measure_scale(
    features: Sequence[Feature], columns: Sequence[pa.ChunkedArray], catalogue: pa.ChunkedArray
) -> Scale:
    """Measure the scale of the dense features of one projection.

    Args:
        features: the features that share the projection.
        columns: all values that each feature ever had, already checked by `dense_findings`.
        catalogue: the values that hold on the day, each item (or query) once. The mean and the
            deviation of a number are measured on these.

    Raises:
        InputError: a feature has no vector in any row, or features that share a projection have
            vectors of different lengths.
    """
    if features[0].dtype == "number":
        known = catalogue.drop_null().to_numpy().astype(np.float64)
        largest = float(np.abs(known).max(initial=0.0))
        if largest == 0.0:
            return Scale(1)
        shrunk = known / largest  # the square of a large number would overflow
        deviation = float(shrunk.std()) * largest
        return Scale(1, float(shrunk.mean()) * largest, deviation or 1.0)
    lengths = [pc.max(pc.list_value_length(column)).as_py() or 0 for column in columns]
    for feature, length in zip(features, lengths, strict=True):
        if not length:
            raise InputError(
                f"{feature.side} feature `{feature.name}` has no vector in any row, so its "
                "length is unknown: fill the column, or leave it out of the service"
            )
    if len(set(lengths)) > 1:
        each = ", ".join(f"`{f.key}` {n}" for f, n in zip(features, lengths, strict=True))
        raise InputError(
            f"features that share table `{features[0].table}` have vectors of different lengths "
            f"({each}): give one its own tag `table`"
        )
    return Scale(lengths[0])


def encode_dense(column: Values, feature: Feature) -> tuple[Int32Array, Float32Array]:
    """Normalise the values of a dense feature, and keep each distinct value once.

    Args:
        column: `[n]` numbers, or lists of numbers.
        feature: the feature; its scale must be known.

    Returns:
        `[n]` int32, the position of each value among the distinct ones, -1 where it is missing;
        and the distinct values, `[m, length]` float32.

    Raises:
        InputError: a value is not finite, or a vector has another length.
    """
    values, present = _numbers(column, feature)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        wrong = np.flatnonzero(present)[~finite][0]
        raise InputError(
            f"feature {feature.name} has a number that is not finite in row {wrong} (counted from "
            "0): give null where it is not known"
        )
    if feature.dtype == "number":
        scaled = _standardised(values, feature.scale)
    else:
        scaled, directed = _unit_vectors(values.astype(np.float32, copy=False))
        present[present] = directed
    codes = np.full(len(column), -1, np.int32)
    first, codes[present] = distinct_vectors(scaled)
    return codes, scaled[first] if len(first) < len(scaled) else scaled


def _numbers(
    column: Values, feature: Feature
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.bool_]]:
    """Return the values that are there, `[k, length]`, and a mask of their rows, `[n]`."""
    if feature.dtype == "number":
        known = column.drop_null().to_numpy(zero_copy_only=False)
        return known.astype(np.float64)[:, None], ~_is_null(column)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    present = np.asarray(lengths > 0)
    wrong = np.flatnonzero(present & (lengths != feature.length))
    if len(wrong):
        raise InputError(
            f"feature {feature.name} has {lengths[wrong[0]]} numbers in row {wrong[0]} (counted "
            f"from 0): give vectors of {feature.length} numbers, the feature's length"
        )
    # Flattened chunk by chunk: the offsets of one combined list array end at 2^31 numbers.
    flat = pc.list_flatten(column).to_numpy(zero_copy_only=False)
    return flat.astype(np.float32).reshape(-1, feature.length), present


def _standardised(values: npt.NDArray[np.floating], scale: Scale | None) -> Float32Array:
    """Return the numbers as deviations from the mean."""
    assert scale is not None
    with np.errstate(over="ignore"):
        deviations = (values - scale.mean) / scale.deviation
    scaled = deviations.clip(-MOST_DEVIATIONS, MOST_DEVIATIONS).astype(np.float32)
    scaled += np.float32(0.0)  # turns -0.0 into 0.0: equal values must have equal bits
    return scaled


def _unit_vectors(values: Float32Array) -> tuple[Float32Array, npt.NDArray[np.bool_]]:
    """Scale finite vectors to unit length, and drop those without a direction.

    The given array may be changed in place.

    Returns:
        the vectors that are left, and a mask of them among the given ones.
    """
    # Divided by the largest number first: squares of float32 numbers may overflow, or vanish.
    largest = np.maximum(values.max(axis=1, initial=0.0), -values.min(axis=1, initial=0.0))
    directed = largest > 0.0
    if not directed.all():
        values, largest = values[directed], largest[directed]
    values /= largest[:, None]
    values /= np.sqrt(np.einsum("rn,rn->r", values, values))[:, None]
    values += np.float32(0.0)  # turns -0.0 into 0.0: equal values must have equal bits
    return values, directed


def distinct_vectors(vectors: Float32Array) -> tuple[Int64Array, Int64Array]:
    """Find equal vectors, compared bit by bit.

    Args:
        vectors: `[n, length]`, contiguous.

    Returns:
        `[m]` positions of the vectors to keep, in order; and for each of the `[n]` vectors, the
        position of its equal among the kept ones.
    """
    if not len(vectors):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    bits = np.ascontiguousarray(vectors).view(np.uint32)
    _, first, inverse = np.unique(_hashes(bits), return_index=True, return_inverse=True)
    if not _equal(bits, first[inverse]):  # two vectors share a hash: once in some billion tables
        whole = bits.view([("", bits.dtype)] * bits.shape[1]).ravel()
        _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    # Numbered by where they occur first, not by their hashes.
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.ravel()]


def _hashes(bits: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """Hash each row of `[n, length]` words: their sum times fixed random odd numbers, mod 2^64."""
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 2**64, bits.shape[1], np.uint64) | np.uint64(1)
    rows = max(1, ONE_CHUNK // bits.shape[1])
    parts = [bits[n : n + rows].astype(np.uint64) @ factors for n in range(0, len(bits), rows)]
    return np.concatenate(parts)


def _equal(bits: npt.NDArray[np.uint32], other: Int64Array) -> bool:
    """Return whether each row equals the row that `other` gives for it."""
    differ = np.flatnonzero(other != np.arange(len(other)))
    rows = max(1, ONE_CHUNK // bits.shape[1])
    return all(
        np.array_equal(bits[differ[n : n + rows]], bits[other[differ[n : n + rows]]])
        for n in range(0, len(differ), rows)
    )


def rows_of_vectors(vectors: Float32Array, codes: Int32Array, present: Any) -> Float32Array:
    """Return one vector per row, zeros where a row has none.

    Args:
        vectors: `[m, length]` distinct vectors.
        codes: `[k]` positions in `vectors`, for the rows that have a vector, in order.
        present: `[n]` mask of the rows that have a vector.

    Returns:
        `[n, length]` float32.
    """
    filled = np.zeros((len(present), vectors.shape[1]), np.float32)
    filled[present] = vectors[codes]
    return filled

"""Encoding of raw feature values, as a caller has them, by a version's vocabularies."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from longtail.errors import InputError
from longtail.features.dense import encode_dense
from longtail.features.encoding import EncodedRows, encode_table, offsets_of
from longtail.features.history_feature import HISTORY
from longtail.features.schema import Feature, arrow_type
from longtail.serving.item_keys import is_unicode
from longtail.serving.vocabulary_rows import ServedVocabulary

FeatureValues = Mapping[str, Any]
"""Values by feature name: a string or an integer; a list of them for a multi-valued feature; a
number or a list of numbers for a dense feature. None, or no entry, if the value is not known."""

_ONE_VALUE = {
    "string": "a string",
    "integer": "an integer of 64 bits",
    "number": "a number",
    "vector": "a list of numbers",
}

Rows: TypeAlias = FeatureValues | Sequence[FeatureValues] | pa.Table | pa.RecordBatch


def encode_rows(
    rows: Rows,
    features: Sequence[Feature],
    vocabularies: Mapping[str, ServedVocabulary],
    *,
    history_length: int = 0,
) -> EncodedRows:
    """Encode raw feature values.

    A missing feature, a null and a value that training never saw are left out: the model has a
    learned default for a feature without values.

    Of a longer history its first items count, which are the newest ones.

    Args:
        rows: one mapping, several, or an Arrow table with one column for each feature.
        features: the features of one side, in the order of the schema.
        vocabularies: the vocabularies, by table name.
        history_length: most items of a history; of no importance without that feature.

    Raises:
        InputError: there is no row, a name is no feature of this side, or a value has another type
            than its feature.
    """
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    if isinstance(rows, pa.Table):
        complete = _complete(rows, features)
        for feature in (each for each in features if each.is_history):
            place = complete.column_names.index(feature.name)
            newest = pc.list_slice(complete[feature.name], 0, history_length)
            newest = newest.cast(arrow_type(feature))
            complete = complete.set_column(place, feature.name, newest)
        return encode_table(complete, features, vocabularies)
    if isinstance(rows, Mapping):
        rows = [rows]
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Sequence) or not rows:
        raise InputError(
            "give feature values by name: a dict, a list of at least one dict, or an Arrow table"
        )
    return _encode_mappings(rows, features, vocabularies, history_length)


def _encode_mappings(
    rows: Sequence[FeatureValues],
    features: Sequence[Feature],
    vocabularies: Mapping[str, ServedVocabulary],
    history_length: int,
) -> EncodedRows:
    """Encode rows value by value, which is quick for the few rows of a request."""
    for row in rows:
        if not isinstance(row, Mapping):
            raise InputError(f"{row!r} is no row: give a dict of feature values by name")
        check_names(row, features)
    # A dense feature is scaled as one column, for all rows at once.
    dense = {
        position: encode_dense(_dense_column(rows, feature), feature)
        for position, feature in enumerate(features)
        if feature.is_dense
    }
    # Row by row and feature by feature, which is the order of `EncodedRows`.
    values: list[int] = []
    lengths: list[int] = []
    for number, row in enumerate(rows):
        for position, feature in enumerate(features):
            if feature.is_dense:
                found = [int(dense[position][0][number])]
            else:
                row_of = vocabularies[feature.table].row_of
                given = _values(row.get(feature.name), feature)
                if feature.is_history:
                    given = given[:history_length]
                found = [row_of(value) for value in given]
            known = [table_row for table_row in found if table_row >= 0]
            values += known
            lengths.append(len(known))
    return EncodedRows(
        len(features),
        offsets_of(np.array(lengths, np.int64)),
        np.array(values, np.int32),
        {position: vectors for position, (_, vectors) in dense.items()},
    )


def _dense_column(rows: Sequence[FeatureValues], feature: Feature) -> pa.Array:
    """Return the values of a dense feature: `[num_rows]`, null for a row without a value."""
    found = [_dense_value(row.get(feature.name), feature) for row in rows]
    return pa.array(found, pa.float64() if feature.dtype == "number" else pa.list_(pa.float32()))


def _dense_value(value: Any, feature: Feature) -> Any:
    """Return one value of a dense feature as Arrow takes it; refuse a value of another type."""
    if value is None:
        return None
    if feature.dtype == "number":
        if not _is_number(value):
            raise _wrong_type(value, feature)
        return float(value)
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "fiu":
        return value.astype(np.float32)
    if not isinstance(value, (list, tuple)) or not all(map(_is_number, value)):
        raise _wrong_type(value, feature)
    return np.array(value, np.float32)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def given_histories(rows: Rows, num_rows: int) -> list[list[str]]:
    """Return the items of each row's history; rows that `encode_rows` has accepted.

    Args:
        rows: the rows.
        num_rows: their number.
    """
    if isinstance(rows, (pa.Table, pa.RecordBatch)):
        if HISTORY not in rows.schema.names:
            return [[] for _ in range(num_rows)]
        found: Sequence[Any] = rows.column(HISTORY).to_pylist()
    else:
        found = [row.get(HISTORY) for row in ([rows] if isinstance(rows, Mapping) else rows)]
    return [
        [] if history is None else [item for item in history if item is not None]
        for history in found
    ]


def check_names(names: Any, features: Sequence[Feature]) -> None:
    """Refuse names that are no features of this side.

    Raises:
        InputError: lists all of these names, and the features that exist.
    """
    known = {feature.name for feature in features}
    if HISTORY in names and HISTORY not in known and features[0].side == "query":
        raise InputError(
            "the served version was trained without histories: set `history.length` in the "
            "configuration, such as to 50, and run `longtail run`"
        )
    unknown = [repr(name) for name in names if name not in known]
    if unknown:
        raise InputError(
            f"no such {features[0].side} feature: {', '.join(unknown)}; the served version knows "
            f"{', '.join(feature.name for feature in features)}"
        )


def _values(value: Any, feature: Feature) -> Sequence[str | int]:
    """Return the values of one categorical feature in one row, without nulls.

    Raises:
        InputError: a value has another type than its feature, or is not valid Unicode.
    """
    if value is None:
        return ()
    if feature.kind == "single":
        values: list[Any] = [value]
    elif isinstance(value, (list, tuple, np.ndarray)):
        values = list(value)
    else:
        raise _wrong_type(value, feature)
    expected = (str,) if feature.dtype == "string" else (int, np.integer)
    present = [one for one in values if one is not None]
    for one in present:
        # In Python, True is an integer.
        if not isinstance(one, expected) or isinstance(one, bool):
            raise _wrong_type(value, feature)
        if isinstance(one, str):
            if not is_unicode(one):
                raise InputError(f"feature {feature.name}: {one!r} is not valid Unicode")
        elif not -(2**63) <= one < 2**63:
            raise _wrong_type(value, feature)
    return present


def _wrong_type(value: Any, feature: Feature) -> InputError:
    one = _ONE_VALUE[feature.dtype]
    expected = f"a list, each value {one}" if feature.kind == "multi" else one
    return InputError(f"feature {feature.name} is {value!r}: expected {expected}, or None")


def _complete(table: pa.Table, features: Sequence[Feature]) -> pa.Table:
    """Return a table with a column of the right type for each feature.

    A column that the given table does not have is null in every row.

    Raises:
        InputError: a column is no feature, stands twice, or has values of another type.
    """
    check_names(table.column_names, features)
    columns = {}
    for feature in features:
        wanted = arrow_type(feature)
        if feature.name not in table.column_names:
            columns[feature.name] = pa.chunked_array([pa.nulls(table.num_rows, wanted)])
            continue
        if table.column_names.count(feature.name) > 1:
            raise InputError(f"column {feature.name} stands twice: give it once")
        column = table[feature.name]
        if not _fits(column.type, feature):
            raise InputError(f"column {feature.name} is {column.type}: expected {wanted}")
        try:
            # Not checked for a dense feature: a large integer becomes the nearest float.
            columns[feature.name] = column.cast(wanted, safe=not feature.is_dense)
        except pa.ArrowInvalid as error:
            raise InputError(f"column {feature.name}: {error}: expected {wanted}") from error
    return pa.table(columns)


def _fits(found: pa.DataType, feature: Feature) -> bool:
    """Return whether an Arrow type holds values of a feature's type, of any width."""
    if pa.types.is_null(found):
        return True
    if feature.kind == "multi" or feature.dtype == "vector":
        if not (
            pa.types.is_list(found)
            or pa.types.is_large_list(found)
            or pa.types.is_fixed_size_list(found)
        ):
            return False
        found = found.value_type
    if pa.types.is_dictionary(found):
        found = found.value_type
    if feature.is_dense:
        return bool(pa.types.is_floating(found) or pa.types.is_integer(found))
    if feature.dtype == "integer":
        return bool(pa.types.is_integer(found))
    return bool(
        pa.types.is_string(found)
        or pa.types.is_large_string(found)
        or pa.types.is_string_view(found)
    )

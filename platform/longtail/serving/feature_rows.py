"""Raw feature values, as a caller has them, to encoded rows of a version's vocabularies."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from longtail.errors import InputError
from longtail.features.encoding import EncodedRows, encode_table, offsets_of
from longtail.features.schema import Feature
from longtail.serving.value_rows import ServedVocabulary

FeatureValues = Mapping[str, Any]
"""Values by feature name: a string or an integer, a list of them where a feature is multi-valued;
None, or no entry, where it is not known."""

Rows: TypeAlias = FeatureValues | Sequence[FeatureValues] | pa.Table | pa.RecordBatch


def encode_rows(
    rows: Rows, features: Sequence[Feature], vocabularies: Mapping[str, ServedVocabulary]
) -> EncodedRows:
    """Encode raw feature values.

    A missing feature, a null and a value that training never saw are left out: the model has a
    learned default for a feature without values.

    Args:
        rows: one mapping, several, or an Arrow table with a column a feature.
        features: the features of one side, in the order of the schema.
        vocabularies: by table name.

    Raises:
        InputError: there is no row, a name is no feature of this side, or a value is of another
            type than its feature.
    """
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    if isinstance(rows, pa.Table):
        return encode_table(_complete(rows, features), features, vocabularies)
    if isinstance(rows, Mapping):
        rows = [rows]
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Sequence) or not rows:
        raise InputError(
            "give feature values by name: a dict, a list of at least one dict, or an Arrow table"
        )
    return _encode_mappings(rows, features, vocabularies)


def _encode_mappings(
    rows: Sequence[FeatureValues],
    features: Sequence[Feature],
    vocabularies: Mapping[str, ServedVocabulary],
) -> EncodedRows:
    """Value by value: for what a request brings. Arrow's columns are for catalogues."""
    for row in rows:
        if not isinstance(row, Mapping):
            raise InputError(f"{row!r} is no row: give a dict of feature values by name")
        check_names(row, features)
    values: list[int] = []
    lengths: list[int] = []
    for row in rows:
        for feature in features:
            row_of = vocabularies[feature.table].row_of
            found = [row_of(value) for value in _values(row.get(feature.name), feature)]
            known = [table_row for table_row in found if table_row >= 0]
            values += known
            lengths.append(len(known))
    return EncodedRows(
        len(features), offsets_of(np.array(lengths, np.int64)), np.array(values, np.int32)
    )


def check_names(names: Any, features: Sequence[Feature]) -> None:
    """Refuse names that are no features of this side.

    Raises:
        InputError: names all of them, and the features that there are.
    """
    known = {feature.name for feature in features}
    unknown = [repr(name) for name in names if name not in known]
    if unknown:
        raise InputError(
            f"no such {features[0].side} feature: {', '.join(unknown)}; the served version knows "
            f"{', '.join(feature.name for feature in features)}"
        )


def _values(value: Any, feature: Feature) -> Sequence[str | int]:
    """The values of one feature in one row; nulls are left out, as everywhere."""
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
        if not isinstance(one, expected) or isinstance(one, bool):
            raise _wrong_type(value, feature)
        if isinstance(one, str):
            _check_text(one, feature)
        elif not -(2**63) <= one < 2**63:
            raise _wrong_type(value, feature)
    return present


def _check_text(value: str, feature: Feature) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"feature {feature.name}: {value!r} is not valid Unicode") from error


def _wrong_type(value: Any, feature: Feature) -> InputError:
    one = "a string" if feature.dtype == "string" else "an integer of 64 bits"
    expected = one if feature.kind == "single" else f"a list, each value {one}"
    return InputError(f"feature {feature.name} is {value!r}: expected {expected}, or None")


def _complete(table: pa.Table, features: Sequence[Feature]) -> pa.Table:
    """The table with a column of the right type for each feature; null where it has none."""
    check_names(table.column_names, features)
    columns = {}
    for feature in features:
        value_type = pa.string() if feature.dtype == "string" else pa.int64()
        wanted = pa.list_(value_type) if feature.kind == "multi" else value_type
        if feature.name not in table.column_names:
            columns[feature.name] = pa.chunked_array([pa.nulls(table.num_rows, wanted)])
            continue
        if table.column_names.count(feature.name) > 1:
            raise InputError(f"column {feature.name} stands twice: give it once")
        column = table[feature.name]
        if not _fits(column.type, feature):
            raise InputError(f"column {feature.name} is {column.type}: expected {wanted}")
        try:
            columns[feature.name] = column.cast(wanted)
        except pa.ArrowInvalid as error:
            raise InputError(f"column {feature.name}: {error}: expected {wanted}") from error
    return pa.table(columns)


def _fits(found: pa.DataType, feature: Feature) -> bool:
    """Whether values of an Arrow type are values of a feature, in whatever width."""
    if pa.types.is_null(found):
        return True
    if feature.kind == "multi":
        if not (
            pa.types.is_list(found)
            or pa.types.is_large_list(found)
            or pa.types.is_fixed_size_list(found)
        ):
            return False
        found = found.value_type
    if pa.types.is_dictionary(found):
        found = found.value_type
    if feature.dtype == "integer":
        return bool(pa.types.is_integer(found))
    return bool(
        pa.types.is_string(found)
        or pa.types.is_large_string(found)
        or pa.types.is_string_view(found)
    )

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from longtail.dataset.distinct_rows import distinct_rows
from longtail.features.encoding import EncodedRows, offsets_of


def encoded(rows: list[list[list[int]]], num_features: int) -> EncodedRows:
    flat = [cell for row in rows for cell in row]
    values = [value for cell in flat for value in cell]
    lengths = np.array([len(cell) for cell in flat], np.int64)
    return EncodedRows(num_features, offsets_of(lengths), np.array(values, np.int32))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.lists(st.lists(st.integers(0, 2), max_size=3), min_size=2, max_size=2),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_distinct_rows_are_those_that_differ_in_entity_or_values(
    content: list[tuple[int, list[list[int]]]],
) -> None:
    keys = [(entity, tuple(tuple(sorted(cell)) for cell in row)) for entity, row in content]
    kept, place = distinct_rows(
        encoded([row for _, row in content], 2), np.array([entity for entity, _ in content])
    )
    assert [keys[k] for k in kept] == list(dict.fromkeys(keys))
    assert [keys[kept[p]] for p in place] == keys

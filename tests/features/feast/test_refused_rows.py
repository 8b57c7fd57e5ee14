"""Admission: the rows that are used, worked out by hand, and the fate of the others."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.artifacts import RunPaths
from longtail.config import ChecksConfig, Config
from longtail.errors import InputError
from longtail.features.feast.catalogue import build_catalogue
from longtail.features.feast.refused_rows import Admitted, admit, quarantine_file
from longtail.features.feast.repository import FeatureRepository
from longtail.features.feast.table_validation import require_within_limit
from tests.features.conftest import UTC_US, day, interaction_rows, item_rows
from tests.projects import default_day, write_tables

NOW = day(10)


def spoilt_items() -> pa.Table:
    """Return good rows, rows with one reason to be refused, and a row with two."""
    return pa.table(
        {
            "item_id": ["b", None, "a", "a", "a", "b", None, "b"],
            "size": pa.array([1, 2, 3, 4, 5, 6, 7, 8], pa.int64()),
            "event_timestamp": pa.array(
                [day(2), day(1), day(1), day(1), day(11), None, day(11), day(10)], UTC_US
            ),
        }
    )


def admitted_items() -> Admitted:
    return admit(
        spoilt_items(),
        table="items",
        source="items.parquet",
        ids=["item_id"],
        now=NOW,
        unique=["item_id", "event_timestamp"],
    )


def test_rows_are_refused_for_the_first_reason_that_holds() -> None:
    admitted = admitted_items()
    assert admitted.rows["size"].to_pylist() == [3, 1, 8]  # by item, then moment
    refused = admitted.refused.select(["refused_row", "refused_reason", "refused_column", "size"])
    assert [tuple(row.values()) for row in refused.to_pylist()] == [
        (1, "null", "item_id", 2),
        (3, "duplicate", "item_id", 4),
        (4, "future_timestamp", "event_timestamp", 5),
        (5, "null", "event_timestamp", 6),
        (6, "null", "item_id", 7),
    ]
    assert admitted.num_rows == 8
    assert admitted.refused_share == 5 / 8
    assert admitted.counts() == {"null": 3, "duplicate": 1, "future_timestamp": 1}


def test_a_row_is_no_duplicate_of_one_that_is_refused() -> None:
    rows = pa.table(
        {
            "item_id": ["a", "a", "a"],
            "weight": pa.array([-1.0, 2.0, 3.0], pa.float32()),
            "event_timestamp": pa.array([day(1)] * 3, UTC_US),
        }
    )
    unique = ["item_id", "event_timestamp"]
    admitted = admit(
        rows, table="items", source="", ids=["item_id"], now=NOW, unique=unique, weight="weight"
    )
    assert admitted.rows["weight"].to_pylist() == [2.0]
    assert admitted.refused["refused_reason"].to_pylist() == ["bad_weight", "duplicate"]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", None]),
            st.sampled_from([None, 1, 2, 11, 12]),
            st.sampled_from([None, 0.0, -1.0, 2.5, float("nan"), float("inf")]),
        ),
        max_size=12,
    )
)
def test_admission_agrees_with_plain_python(cells: list[tuple[str | None, int, float]]) -> None:
    rows = pa.table(
        {
            "item_id": pa.array([key for key, _, _ in cells], pa.string()),
            "weight": pa.array([weight for _, _, weight in cells], pa.float32()),
            "event_timestamp": pa.array(
                [None if moment is None else day(moment) for _, moment, _ in cells], UTC_US
            ),
        }
    )
    # The rules again, row by row: the first usable row of a key and moment is used.
    expected, seen = [], set()
    for number, (key, moment, weight) in enumerate(cells):
        usable = weight is None or 0 <= weight < float("inf")
        if key is None or moment is None or moment > 10 or not usable or (key, moment) in seen:
            continue
        seen.add((key, moment))
        expected.append((key, day(moment), number))
    numbered = rows.append_column("number", pa.array(range(len(cells)), pa.int64()))
    admitted = admit(
        numbered,
        table="items",
        source="",
        ids=["item_id"],
        now=NOW,
        unique=["item_id", "event_timestamp"],
        weight="weight",
    )
    found = zip(
        *(admitted.rows[name].to_pylist() for name in ("item_id", "event_timestamp", "number")),
        strict=True,
    )
    assert list(found) == sorted(expected)
    assert sorted(admitted.refused["number"].to_pylist()) == sorted(
        set(range(len(cells))) - {number for _, _, number in expected}
    )
    assert admitted.refused["refused_row"].to_pylist() == admitted.refused["number"].to_pylist()


def test_up_to_the_limit_goes_on_and_beyond_it_is_one_error() -> None:
    admitted = admitted_items()
    require_within_limit([admitted], ChecksConfig(max_refused_share=5 / 8))
    require_within_limit([admitted], ChecksConfig(severity={"refused_share": "warning"}))
    with pytest.raises(
        InputError, match=r"5 of 8 rows of items\.parquet are refused \(62\.50%, more than 50\.00%"
    ) as raised:
        require_within_limit([admitted], ChecksConfig(max_refused_share=0.5))
    for part in ("`item_id` of items.parquet is null in 2 of 8 rows", "1 duplicated rows", "later"):
        assert part in str(raised.value)


def test_a_catalogue_is_made_without_the_refused_rows_and_they_are_kept(project: Config) -> None:
    folder, as_of = project.feature_repo.parent, date(2024, 1, 9)
    good = build_catalogue(project, as_of)
    assert not RunPaths(project, as_of).quarantine.exists()
    future = datetime(2999, 1, 1, tzinfo=UTC)
    extra = pa.table(
        {
            "query_id": ["q", None],
            "item_id": ["c", "a"],
            "event_timestamp": pa.array([future, day(3)], UTC_US),
            "weight": [1.0, 1.0],
        }
    )
    write_tables(folder, interactions=pa.concat_tables([interaction_rows(), extra]))
    write_tables(folder, items=pa.concat_tables([item_rows(), item_rows().slice(0, 1)]))
    lenient = project.model_copy(update={"checks": ChecksConfig(max_refused_share=0.5)})
    # Refused rows change neither the catalogue nor the default day.
    assert build_catalogue(lenient, as_of) == good
    assert default_day(FeatureRepository(lenient)) == as_of
    refused = pq.read_table(quarantine_file(lenient, as_of, "interactions"))
    assert refused["refused_reason"].to_pylist() == ["future_timestamp", "null"]
    assert refused["refused_row"].to_pylist() == [5, 6]
    assert refused["item_id"].to_pylist() == ["c", "a"]
    assert pq.read_table(quarantine_file(lenient, as_of, "items"))["section"].to_pylist() == [
        "games"
    ]
    assert not quarantine_file(lenient, as_of, "queries").exists()
    with pytest.raises(InputError, match="more than 1"):
        build_catalogue(project, as_of)
    write_tables(folder, interactions=interaction_rows(), items=item_rows())
    build_catalogue(project, as_of)
    assert not RunPaths(project, as_of).quarantine.exists()

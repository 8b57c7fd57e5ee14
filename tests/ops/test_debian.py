"""The builder of the demo data, against tables worked by hand from two small indexes."""

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ops.datasets import debian

INDEXES = Path(__file__).parent / "data"
SNAPSHOT = Path(__file__).parents[2] / "feature_repo" / "data"
NAMES = ("items", "queries", "interactions")

T1 = datetime(2021, 8, 14, tzinfo=UTC)
T2 = datetime(2023, 6, 10, tzinfo=UTC)
RELEASES = [
    "--release",
    f"2021-08-14={INDEXES / '2021.Packages'}",
    "--release",
    f"2023-06-10={INDEXES / '2023.Packages'}",
]

# From `printf %s 'Ann Example <ann@example.org>' | b2sum --length 48`, and so on.
ANN = "1b37416d3d64"
PERL_TEAM = "f8cfefb73a11"
BOB = "71e2a0d1c435"

TAGS = ["role::program", "interface::daemon", "implemented-in::c++"]
SERVER = ["fast", "c++", "web", "server", "not", "slow"]
TWELVE = [
    *("one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
]

# id, section, source, maintainer, multi_arch, size_band, homepage_host, tags, name_tokens, words
LIBSSL = ("libssl3", "libs", "openssl", None, None, None, None, None, ["libssl", "3"], None)
NOTHING = ("nothing-here", "misc", "web", None, None, None, None, None, ["nothing", "here"], None)
PERL = ("perl", "perl", "perl", PERL_TEAM, None, "2^9", None, None, ["perl"], TWELVE)
PYTHON = (
    *("python3", "python", "python3", BOB, None, "2^6", None, None),
    *(["python", "3"], ["web", "language"]),
)
MINIMAL = (
    *("python3-minimal", "python", "python3", BOB, None, "2^6", None, None),
    *(["python", "3", "minimal"], ["small", "language"]),
)
COMMON = (
    *("web-common", "httpd", "web", ANN, None, "2^9", None, None),
    *(["web", "common"], ["web", "files"]),
)
SERVER_1, SERVER_2 = (
    (
        *("web-server2", "httpd", "web", maintainer, "foreign", "2^10", "web.example"),
        *(TAGS, ["web", "server", "2"], SERVER),
    )
    for maintainer in (ANN, BOB)
)

ITEMS = [
    (*LIBSSL, True, T1),
    (*LIBSSL, False, T2),  # dropped
    (*NOTHING, True, T2),  # new
    (*PERL, True, T1),  # unchanged: 700 and 1000 KiB are one band
    (*PYTHON, True, T1),  # unchanged
    (*MINIMAL, True, T1),
    (*MINIMAL, False, T2),  # dropped
    (*COMMON, True, T1),  # unchanged
    (*SERVER_1, True, T1),
    (*SERVER_2, True, T2),  # changed
]
INTERACTIONS = [
    ("nothing-here", "python3", T2),
    ("perl", "web-common", T2),  # a new edge of an unchanged package
    ("web-common", "perl", T1),
    # Its source is also web: not web-common -> web-server2, and not any -> nothing-here.
    ("web-server2", "libssl3", T1),
    ("web-server2", "perl", T1),
    ("web-server2", "python3", T1),
    ("web-server2", "python3-minimal", T1),
]


def rows(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def index(*stanzas: str) -> list[str]:
    return "\n\n".join(stanzas).splitlines(keepends=True)


def words_by_name(tables: dict[str, pa.Table]) -> dict[str, list[str] | None]:
    items = tables["items"]
    return dict(zip(items["item_id"].to_pylist(), items["words"].to_pylist(), strict=True))


@pytest.fixture
def built(tmp_path: Path) -> dict[str, pa.Table]:
    assert debian.main([*RELEASES, "--output", str(tmp_path)]) == 0
    return {name: pq.ParquetFile(tmp_path / f"{name}.parquet").read() for name in NAMES}


def test_tables_equal_those_worked_by_hand(built: dict[str, pa.Table]) -> None:
    assert rows(built["items"]) == ITEMS
    assert rows(built["queries"]) == [(*row[:-2], row[-1]) for row in ITEMS if row[-2]]
    assert rows(built["interactions"]) == INTERACTIONS


def test_schema_is_the_contract(built: dict[str, pa.Table]) -> None:
    features = [
        *((name, "string") for name in ("section", "source", "maintainer", "multi_arch")),
        *((name, "string") for name in ("size_band", "homepage_host")),
        *((name, "list<element: string>") for name in ("tags", "name_tokens", "words")),
    ]
    time = ("event_timestamp", "timestamp[us, tz=UTC]")
    expected = {
        "items": [("item_id", "string"), *features, ("active", "bool"), time],
        "queries": [("query_id", "string"), *features, time],
        "interactions": [("query_id", "string"), ("item_id", "string"), time],
    }
    for name, columns in expected.items():
        assert [(field.name, str(field.type)) for field in built[name].schema] == columns


def test_rebuild_is_byte_identical(tmp_path: Path) -> None:
    # The order of the releases on the command line does not matter.
    reordered = [*RELEASES[2:], *RELEASES[:2]]
    for folder, releases in (("a", RELEASES), ("b", reordered)):
        assert debian.main([*releases, "--output", str(tmp_path / folder)]) == 0
    for name in NAMES:
        first, second = (tmp_path / folder / f"{name}.parquet" for folder in "ab")
        assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(
        f"{name}.parquet" for name in NAMES
    )


def test_only_the_most_frequent_words_are_kept() -> None:
    releases = [
        debian.read_release(
            date(2021, 1, 1),
            index(
                "Package: a\nDescription: zebra zebra zebra apple",
                "Package: b\nDescription: apple tool, blue",
                "Package: c\nDescription: rare",
            ),
        ),
        debian.read_release(date(2022, 1, 1), index("Package: b\nDescription: apple tool, blue")),
    ]
    # Packages per word: apple 3, blue 2, tool 2, rare 1, zebra 1 (its repeats do not count).
    assert words_by_name(debian.build_tables(releases, num_words=2)) == {
        "a": ["apple"],
        "b": ["apple", "blue"],  # the alphabet puts blue before tool
        "c": None,
    }
    assert words_by_name(debian.build_tables(releases, num_words=3))["b"] == [
        *("apple", "tool", "blue"),
    ]


def test_words_of_a_release_are_chosen_without_later_ones() -> None:
    releases = [
        debian.read_release(
            date(2021, 1, 1),
            index(
                "Package: a\nDescription: old tool",
                "Package: b\nDescription: old new",
                "Package: c\nDescription: tool",
            ),
        ),
        debian.read_release(
            date(2022, 1, 1),
            index(
                "Package: a\nDescription: old tool",
                "Package: b\nDescription: old new",
                "Package: d\nDescription: new",
                "Package: e\nDescription: new",
            ),
        ),
    ]
    # Packages per word in 2021: old 2, tool 2, new 1. In both releases: new 4, old 4, tool 3.
    tables = debian.build_tables(releases, num_words=2)
    items = tables["items"].select(["item_id", "words", "active", "event_timestamp"])
    first, second = datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC)
    assert rows(items) == [
        ("a", ["old", "tool"], True, first),
        ("a", ["old"], True, second),  # its description is the same, the vocabulary is not
        ("b", ["old"], True, first),
        ("b", ["old", "new"], True, second),
        ("c", ["tool"], True, first),
        ("c", ["tool"], False, second),  # dropped
        ("d", ["new"], True, second),
        ("e", ["new"], True, second),
    ]
    # What is known of 2021 is the same, whatever comes later.
    alone = debian.build_tables(releases[:1], num_words=2)["items"]
    assert rows(alone) == [row for row in rows(tables["items"]) if row[-1] == first]


def test_package_that_comes_back_is_active_again() -> None:
    other = "Package: other"
    tables = debian.build_tables(
        [
            debian.read_release(date(2021, 1, 1), index("Package: it\nDepends: other", other)),
            debian.read_release(date(2022, 1, 1), index(other)),
            debian.read_release(date(2023, 1, 1), index(other)),
            debian.read_release(date(2024, 1, 1), index("Package: it\nDepends: other", other)),
        ]
    )
    columns = ["item_id", "source", "active", "event_timestamp"]
    assert rows(tables["items"].select(columns)) == [
        ("it", "it", True, datetime(2021, 1, 1, tzinfo=UTC)),
        ("it", "it", False, datetime(2022, 1, 1, tzinfo=UTC)),
        ("it", "it", True, datetime(2024, 1, 1, tzinfo=UTC)),
        ("other", "other", True, datetime(2021, 1, 1, tzinfo=UTC)),
    ]
    assert rows(tables["interactions"]) == [("it", "other", datetime(2021, 1, 1, tzinfo=UTC))]


@pytest.mark.parametrize(
    ("releases", "message"),
    [
        (["2021-08-14=/nowhere/Packages"], "/nowhere/Packages"),
        (["soon={index}"], "'soon' is not a date"),
        (["{index}"], "expected DATE=PATH"),
        (["2021-08-14={index}", "2021-08-14={index}"], "2021-08-14 has another index already"),
        (["2021-08-14={index}", "2023-06-10={empty}"], "no package stanza in it"),
        (["2021-08-14={binary}"], "binary"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(
    releases: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").write_text("\n\nnothing here\n")
    (tmp_path / "binary").write_bytes(b"\xfd7zXZ\x00\xff")
    files = {
        "index": INDEXES / "2021.Packages",
        "empty": tmp_path / "empty",
        "binary": tmp_path / "binary",
    }
    arguments = [part for text in releases for part in ("--release", text.format(**files))]
    assert debian.main([*arguments, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def snapshot() -> dict[str, pa.Table]:
    return {name: pq.ParquetFile(SNAPSHOT / f"{name}.parquet").read() for name in NAMES}


def test_snapshot_has_the_builders_schemas_and_fits(snapshot: dict[str, pa.Table]) -> None:
    for name, table in snapshot.items():
        assert table.schema.equals(debian.SCHEMAS[name])
    assert sum((SNAPSHOT / f"{name}.parquet").stat().st_size for name in NAMES) <= 12_000_000
    assert snapshot["items"].num_rows > 90_000
    assert snapshot["interactions"].num_rows > 300_000


def test_snapshot_keys_are_unique_sorted_and_whole(snapshot: dict[str, pa.Table]) -> None:
    releases = {datetime(2023, 6, 10, tzinfo=UTC), datetime(2025, 8, 9, tzinfo=UTC)}
    keys = {
        "items": ["item_id", "event_timestamp"],
        "queries": ["query_id", "event_timestamp"],
        "interactions": ["query_id", "item_id"],
    }
    for name, columns in keys.items():
        table = snapshot[name]
        assert set(pc.unique(table["event_timestamp"]).to_pylist()) == releases
        assert all(table[column].null_count == 0 for column in columns)
        found = rows(table.select(columns))
        assert found == sorted(set(found))


def test_snapshot_has_no_dangling_id(snapshot: dict[str, pa.Table]) -> None:
    """Both ends of an interaction exist, and are not dropped, at its date."""
    items, edges = snapshot["items"], snapshot["interactions"]
    for moment in pc.unique(edges["event_timestamp"]):
        then = items.filter(pc.less_equal(items["event_timestamp"], moment))
        dropped = then.filter(pc.invert(then["active"]))["item_id"]
        present = pc.is_in(then["item_id"], value_set=dropped)
        active = then.filter(pc.invert(present))["item_id"]
        new = edges.filter(pc.equal(edges["event_timestamp"], moment))
        for end in ("query_id", "item_id"):
            assert pc.all(pc.is_in(new[end], value_set=active)).as_py()


def test_snapshot_names_no_person(snapshot: dict[str, pa.Table]) -> None:
    for name in ("items", "queries"):
        table = snapshot[name]
        assert pc.all(pc.match_substring_regex(table["maintainer"], "^[0-9a-f]{12}$")).as_py()
        for field in table.schema:
            column = table[field.name]
            values = pc.list_flatten(column) if pa.types.is_list(field.type) else column
            if pa.types.is_string(values.type):
                assert not pc.any(pc.match_substring(values, "@")).as_py(), field.name


def test_snapshot_lists_are_bounded_and_never_empty(snapshot: dict[str, pa.Table]) -> None:
    items = snapshot["items"]
    for name in ("tags", "name_tokens", "words"):
        assert pc.min(pc.list_value_length(items[name])).as_py() >= 1
    assert pc.max(pc.list_value_length(items["words"])).as_py() == debian.MAX_WORDS
    assert len(pc.unique(pc.list_flatten(items["words"]))) <= debian.NUM_WORDS

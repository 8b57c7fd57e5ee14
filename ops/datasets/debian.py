"""Builds the demo data, the Debian package graph, from the Packages indexes of several releases.

The task is that of the Wikipedia experiment in Yao et al. (CIKM 2021): given a package (query),
rank the packages it depends on, recommends or suggests (items). See README.md beside this file.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

NUM_WORDS = 20_000
MAX_WORDS = 12

RELATIONS = ("Pre-Depends", "Depends", "Recommends", "Suggests")
FIELDS = (
    *("Package", "Source", "Maintainer", "Section", "Multi-Arch"),
    *("Installed-Size", "Homepage", "Tag", "Description"),
    *RELATIONS,
)

SINGLE = ("section", "source", "maintainer", "multi_arch", "size_band", "homepage_host")
MULTIPLE = ("tags", "name_tokens", "words")
FEATURES = {name: pa.string() for name in SINGLE} | {
    name: pa.list_(pa.string()) for name in MULTIPLE
}
TIMESTAMP = {"event_timestamp": pa.timestamp("us", tz="UTC")}
SCHEMAS = {
    "items": pa.schema({"item_id": pa.string(), **FEATURES, "active": pa.bool_(), **TIMESTAMP}),
    "queries": pa.schema({"query_id": pa.string(), **FEATURES, **TIMESTAMP}),
    "interactions": pa.schema({"query_id": pa.string(), "item_id": pa.string(), **TIMESTAMP}),
}

# list_distinct promises no order, hence `in_order`. An empty list of values is stored as null.
MACROS = """
CREATE MACRO in_order(l) AS list_filter(l, lambda x, i: list_position(l, x) = i);
CREATE MACRO or_null(l) AS CASE WHEN len(l) > 0 THEN l END;
"""

# `released` says when a row became true; `name` is unique within one release.
PACKAGES = r"""
CREATE TABLE packages AS SELECT
    released,
    "Package" AS name,
    "Section" AS section,
    coalesce(regexp_extract("Source", '^\S+'), "Package") AS source,
    maintainer_code AS maintainer,
    "Multi-Arch" AS multi_arch,
    '2^' || (length(bin(nullif(TRY_CAST("Installed-Size" AS BIGINT), 0))) - 1) AS size_band,
    nullif(lower(regexp_extract(
        "Homepage", '(?i)^[a-z][a-z0-9+.-]*://(?:[^/@]*@)?(?:www\.)?([^/:?#@\s]+)', 1
    )), '') AS homepage_host,
    or_null(in_order(regexp_extract_all("Tag", '[^\s,]+'))) AS tags,
    or_null(in_order(regexp_extract_all(lower("Package"), '[a-z]+|[0-9]+'))) AS name_tokens,
    -- Addresses go first: no word may come from one. The suffix keeps c++ and c# whole.
    in_order(regexp_extract_all(
        regexp_replace(lower("Description"), '\S+@\S+\.\S+', ' ', 'g'), '[\p{L}\p{N}]+[+#]*'
    )) AS all_words,
    regexp_extract_all(relations, '(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)', 1) AS targets
FROM stanzas
"""

# Each release has the vocabulary of what was known by then: its own descriptions, and those before.
# A word counts once per package and release. Ties go by the alphabet, so that rebuilds agree.
WORDS = """
CREATE TABLE words AS
WITH occurrences AS (
    SELECT released, name, unnest(all_words) AS word,
           generate_subscripts(all_words, 1) AS position
    FROM packages
), counts AS (
    SELECT released AS counted, word, count(*) AS num_packages
    FROM occurrences
    GROUP BY counted, word
), vocabulary AS (
    SELECT released, word
    FROM (SELECT DISTINCT released FROM packages) JOIN counts ON counted <= released
    GROUP BY released, word
    QUALIFY row_number() OVER (
        PARTITION BY released ORDER BY sum(num_packages) DESC, word
    ) <= $num_words
)
SELECT released, name, list(word ORDER BY position)[1:$max_words] AS words
FROM occurrences SEMI JOIN vocabulary USING (released, word)
GROUP BY released, name
"""

# Every package at every release, so that `lag` sees the release before, and a gap is a removal.
ITEMS = """
CREATE TABLE items AS
WITH described AS (
    SELECT released, name,
           struct_pack(section, source, maintainer, multi_arch, size_band, homepage_host,
                       tags, name_tokens, words) AS features
    FROM packages LEFT JOIN words USING (released, name)
), grid AS (
    SELECT released, name, features
    FROM (SELECT DISTINCT name FROM packages)
    CROSS JOIN (SELECT DISTINCT released FROM packages)
    LEFT JOIN described USING (released, name)
), history AS (
    SELECT *, lag(features) OVER (PARTITION BY name ORDER BY released) AS before FROM grid
)
SELECT name AS item_id, unnest(coalesce(features, before)), features IS NOT NULL AS active,
       released AS event_timestamp
FROM history
WHERE features IS DISTINCT FROM before
"""

QUERIES = """
SELECT item_id AS query_id, * EXCLUDE (item_id, active) FROM items WHERE active
ORDER BY query_id, event_timestamp
"""

INTERACTIONS = """
SELECT query_id, item_id, min(released) AS event_timestamp
FROM (SELECT released, name AS query_id, source, unnest(targets) AS item_id FROM packages) AS edge
JOIN (SELECT released, name AS item_id, source FROM packages) AS item USING (released, item_id)
WHERE edge.source <> item.source  -- and so no package to itself
GROUP BY query_id, item_id
ORDER BY query_id, item_id
"""

SELECTS = {
    "items": "FROM items ORDER BY item_id, event_timestamp",
    "queries": QUERIES,
    "interactions": INTERACTIONS,
}


def parse_stanzas(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the needed fields of each stanza of a Packages index.

    Continuation lines are joined, except those of a description: only its first line is the short
    description.
    """
    stanza: dict[str, str] = {}
    field = ""
    for line in lines:
        line = line.rstrip("\r\n")
        if not line.strip():
            if stanza:
                yield stanza
            stanza, field = {}, ""
        elif line[0] in " \t":
            if field in stanza and field != "Description":
                stanza[field] += " " + line.strip()
        else:
            field, _, value = line.partition(":")
            if field in FIELDS:
                stanza[field] = value.strip()
    if stanza:
        yield stanza


def opaque_code(text: str) -> str:
    """Return a stable code of 12 hexadecimal digits that does not reveal the text."""
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def read_release(released: date, lines: Iterable[str]) -> pa.Table:
    """Return one row per package of a release: the raw fields as strings, null where absent.

    If a name has several stanzas, the last one counts: an index lists versions in ascending order.

    Raises:
        ValueError: no stanza names a package.
    """
    stanzas = {s["Package"]: s for s in parse_stanzas(lines) if "Package" in s}
    if not stanzas:
        raise ValueError("no package stanza in it: give a decompressed Packages index")
    columns: dict[str, list[str | None]] = {
        field: [s.get(field) or None for s in stanzas.values()] for field in FIELDS
    }
    columns["relations"] = [
        ", ".join(s[field] for field in RELATIONS if field in s) for s in stanzas.values()
    ]
    columns["maintainer_code"] = [
        opaque_code(text) if text else None for text in columns["Maintainer"]
    ]
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    day = pa.repeat(pa.scalar(released, pa.date32()), len(table)).cast(pa.timestamp("us"))
    return table.append_column("released", day)


def build_tables(releases: Iterable[pa.Table], num_words: int = NUM_WORDS) -> dict[str, pa.Table]:
    """Return the tables `items`, `queries` and `interactions`.

    Args:
        releases: the results of `read_release`, in any order, each of another date.
        num_words: number of description words that are kept, the most frequent ones of a release
            and those before it.
    """
    with duckdb.connect() as connection:
        connection.register("stanzas", pa.concat_tables(releases))
        connection.execute(MACROS)
        connection.execute(PACKAGES)
        connection.execute(WORDS, {"num_words": num_words, "max_words": MAX_WORDS})
        connection.execute(ITEMS)
        return {
            name: connection.sql(select).to_arrow_table().cast(SCHEMAS[name])
            for name, select in SELECTS.items()
        }


def write_tables(tables: Mapping[str, pa.Table], output: Path) -> None:
    """Write `<name>.parquet` files to a folder: all under temporary names, then rename them."""
    output.mkdir(parents=True, exist_ok=True)
    finals = {name: output / f"{name}.parquet" for name in tables}
    temporaries = {name: output / f".{name}.parquet.tmp" for name in tables}
    try:
        for name, table in tables.items():
            pq.write_table(table, temporaries[name], compression="zstd", compression_level=22)
        for name, final in finals.items():
            temporaries[name].replace(final)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


def read_releases(arguments: Iterable[str]) -> list[pa.Table]:
    """Read the index of each `DATE=PATH`.

    Raises:
        ValueError: an argument, a date or an index is wrong, or a date is given twice.
        OSError: an index cannot be read.
    """
    # Check all arguments first: reading an index takes a while.
    paths: dict[date, Path] = {}
    for argument in arguments:
        day, separator, path = argument.partition("=")
        if not separator or not path:
            raise ValueError(f"--release {argument}: expected DATE=PATH")
        try:
            released = date.fromisoformat(day)
        except ValueError:
            raise ValueError(f"--release {argument}: {day!r} is not a date (YYYY-MM-DD)") from None
        if released in paths:
            raise ValueError(f"--release {argument}: {day} has another index already")
        paths[released] = Path(path)
    tables = []
    for released, index in sorted(paths.items()):
        try:
            with index.open(encoding="utf-8") as lines:
                tables.append(read_release(released, lines))
        except ValueError as error:
            raise ValueError(f"{index}: {error}") from error
    return tables


def main(arguments: list[str] | None = None) -> int:
    """Build the tables as the command line says, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--release",
        action="append",
        required=True,
        metavar="DATE=PATH",
        help="release date and its decompressed Packages index; once per release",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the Parquet files")
    options = parser.parse_args(arguments)
    try:
        tables = build_tables(read_releases(options.release))
        write_tables(tables, options.output)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name, table in tables.items():
        path = options.output / f"{name}.parquet"
        print(f"{path}: {table.num_rows:,} rows, {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

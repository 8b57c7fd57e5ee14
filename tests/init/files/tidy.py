"""Tidy tables with a planted signal: items have a group, and each query likes one group."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from tests.init.files.draft import Column, Draft, Format

# Share of a query's interactions that are with items of its group.
LOYALTY = 0.95
GROUPS = ("crime", "poetry", "travel", "history", "science", "cookery", "music", "gardens")
FIRST, NUM_DAYS = datetime(2022, 6, 1, tzinfo=UTC), 500
MOMENT = pa.timestamp("us", "UTC")


def tidy_draft(seed: int, writer: Format) -> Draft:
    """Return tables that nobody could misread, drawn from a seed."""
    random = np.random.default_rng(seed)
    num_groups = int(random.integers(5, 9))
    num_items, num_queries = int(random.integers(85, 116)), int(random.integers(42, 58))
    item_group = [n % num_groups for n in range(num_items)]
    random.shuffle(item_group)
    query_group = [n % num_groups for n in range(num_queries)]
    pairs = _pairs(random, item_group, query_group)
    seconds = random.integers(0, NUM_DAYS * 86_400, len(pairs)).tolist()
    moments = sorted(FIRST + timedelta(seconds=second) for second in seconds)
    names = [GROUPS[group] for group in item_group]
    countries = random.choice(["dk", "de", "fr", "pt"], num_queries).tolist()
    item_texts = [f"i{n:03d}" for n in range(num_items)]
    query_texts = [f"u{n:03d}" for n in range(num_queries)]
    draft = Draft(
        random,
        writer,
        item_group,
        query_group,
        tables={
            "items": [
                key("item_id", item_texts, "item"),
                Column("genre", names, pa.string(), "group", "group", names),
            ],
            "queries": [
                key("user_id", query_texts, "query"),
                Column("country", countries, pa.string(), "feature", "country", countries),
            ],
            "interactions": [
                key("user_id", query_texts, "query", [query for query, _ in pairs]),
                key("item_id", item_texts, "item", [item for _, item in pairs]),
                Column("timestamp", moments, MOMENT, "time", "moment", moments),
            ],
        },
        file_names={"items": "items", "queries": "queries", "interactions": "interactions"},
        spellings={"item": [item_texts], "query": [query_texts]},
    )
    name_answers(draft)
    return draft


def key(name: str, texts: list[str], side: str, rows: list[int] | None = None) -> Column:
    """Return a column of ids; `rows` has the entity of each row, None is each entity once."""
    entities = list(range(len(texts))) if rows is None else rows
    values = [texts[entity] for entity in entities]
    part = "item key" if side == "item" else "query key"
    return Column(name, values, pa.string(), part, side, entities)


def name_answers(draft: Draft) -> None:
    """Write down how the request would name the columns, after their names have changed."""
    for side, table in (("item", "items"), ("query", "queries")):
        part = "item key" if side == "item" else "query key"
        there = draft.column("interactions", part).name
        own = draft.find(table, part)
        draft.answers[f"{side}_key"] = there if own is None else f"{own.name}={there}"
    for field, part in (("time_column", "time"), ("weight", "weight")):
        found = draft.find("interactions", part)
        if found is not None:
            draft.answers[field] = found.name


def _pairs(
    random: np.random.Generator, item_group: list[int], query_group: list[int]
) -> list[tuple[int, int]]:
    """Return about ten different pairs of query and item for each query, in any order."""
    groups = np.array(item_group)
    pairs = []
    for query, group in enumerate(query_group):
        liked, others = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
        number = int(random.integers(8, 12))
        loyal = min(int(random.binomial(number, LOYALTY)), len(liked) - 2)
        chosen = [*random.choice(liked, loyal, replace=False)]
        chosen += [*random.choice(others, number - loyal if loyal < len(liked) - 2 else 0, False)]
        pairs += [(query, int(item)) for item in chosen]
    random.shuffle(pairs)
    return [(query, item) for query, item in pairs]

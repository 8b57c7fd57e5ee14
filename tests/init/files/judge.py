"""Judges what `init` made of generated files: right, refused for a reason, or wrong.

A question is answered by the truth, and a refusal is cured as its excuse says, until `init` is
through or nothing more can be done.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from longtail.errors import InputError
from longtail.init.project import init_project
from longtail.init.project_plan import Request
from longtail.init.questions import OpenQuestion
from tests.init.files.draft import Column, Draft, Excuse
from tests.init.files.generated import Generated

_MAX_ROUNDS = 6
_CURE = re.compile(
    r"--[a-z]|\b(write|rename|name|drop|convert|fill|leave|correct|give|add|keep|choose|remove|save"
    r"|make|join|export|cast|set|store|read|pass)\b"
)


@dataclass(frozen=True)
class Verdict:
    """The outcome of a project's files.

    Attributes:
        outcome: `wrong` is what must not be.
        reason: the last message of a refusal, or what is wrong.
        refusals: all messages on the way; some may have been answered.
    """

    outcome: Literal["right", "refused", "wrong"]
    reason: str = ""
    refusals: tuple[str, ...] = ()


def judge(generated: Generated, project: Path) -> Verdict:
    """Make a project of generated files, and judge it; `project` is a new folder."""
    draft = generated.draft
    request = Request(**generated.paths)
    met: list[Excuse] = []
    refusals: list[str] = []
    for _ in range(_MAX_ROUNDS):
        try:
            document = init_project(project, request, force=True)
        except InputError as error:
            refusals.append(str(error))
            found = _excuse(draft, str(error))
            if found is None:
                return Verdict("wrong", f"refused without need: {error}", tuple(refusals))
            if problem := _problem_of_message(generated, str(error)):
                return Verdict("wrong", f"{problem}: {error}", tuple(refusals))
            met.append(found)
            answer = _answer(draft, error, found)
            if isinstance(answer, str):
                return Verdict("wrong", f"{answer}: {error}", tuple(refusals))
            # Each table may be written in a form of its own.
            form = answer.pop("time_format", None)
            forms = request.time_format if form is None else (*request.time_format, form)
            next_request = replace(request, time_format=tuple(dict.fromkeys(forms)), **answer)
            if next_request == request:
                return Verdict("refused", str(error), tuple(refusals))
            request = next_request
        except Exception as error:  # a traceback is what the test looks for
            return Verdict("wrong", f"{type(error).__name__}: {error}", tuple(refusals))
        else:
            problems = [
                f"guessed, where {_names(excuse)} had to be refused or asked for"
                for excuse in draft.excuses
                if excuse.required and excuse not in met
            ]
            problems += find_problems(draft, document, project)
            outcome: Literal["right", "wrong"] = "wrong" if problems else "right"
            return Verdict(outcome, "; ".join(problems[:3]), tuple(refusals))
    return Verdict("wrong", f"asks again and again: {refusals[-1]}", tuple(refusals))


def _excuse(draft: Draft, message: str) -> Excuse | None:
    """Return the excuse that a refusal speaks of; where several fit, the one whose cure it says."""
    fitting = [each for each in draft.excuses if each.fits(message)]
    said = [each for each in fitting if _is_said(each, message)]
    plain = [each for each in fitting if not each.cure]
    return next(iter([*said, *plain, *fitting]), None)


def _names(excuse: Excuse) -> str:
    return ", ".join(name if isinstance(name, str) else name.name for name in excuse.names)


def _is_said(excuse: Excuse, message: str) -> bool:
    return any("--" + name.replace("_", "-") in message for name in excuse.cure)


def _problem_of_message(generated: Generated, message: str) -> str:
    if not _CURE.search(message):
        return "the message has no cure"
    names = [f"`{c.name}`" for columns in generated.draft.tables.values() for c in columns]
    if not any(name in message for name in [*names, *map(str, generated.paths.values())]):
        return "the message names no column and no file"
    return ""


def _answer(draft: Draft, error: InputError, excuse: Excuse) -> dict[str, Any] | str:
    """Return the fields of the request that answer or cure; a text if the message is at fault."""
    if isinstance(error, OpenQuestion):
        offered = [choice.answer for choice in error.choices]
        right = draft.answers.get(error.field)
        if error.field == "time_format":
            right = next((each for each in right or () if each in offered), (right or [None])[0])
        if right is None:
            return {}
        if not any(_same_answer(each, right) for each in offered):
            return f"the question does not offer {right!r}"
        return {error.field: right}
    if excuse.cure and not _is_said(excuse, str(error)):
        return f"the message does not say how to give {' or '.join(excuse.cure)}"
    return {
        name: draft.answers[name] if value is None else value for name, value in excuse.cure.items()
    }


def _same_answer(one: str, two: str) -> bool:
    def pair(text: str) -> tuple[str, str]:
        own, _, there = text.partition("=")
        return own, there or own

    return one == two or pair(one) == pair(two)


def find_problems(draft: Draft, document: dict[str, Any], project: Path) -> list[str]:
    """Return what the project has wrong, by comparing it with the truth."""
    data = project / "feature_repo" / "data"
    rows = {
        name: pq.read_table(data / f"{name}.parquet").to_pylist()
        for name in ("items", "queries", "interactions")
    }
    found = [*_wrong_keys(draft, document)]
    if found:
        return found
    entities = {}
    for side, table in (("item", "items"), ("query", "queries")):
        known = {row[f"{side}_id"] for row in rows["interactions"] + rows[table]
                 if f"{side}_id" in row}  # fmt: skip
        texts = spelling(draft, side, known)
        if texts is None:
            odd = sorted(map(str, known - set(draft.spellings[side][0])))[:3]
            return [f"the ids of {table} are misspelt: {odd}"]
        entities[side] = {text: number for number, text in enumerate(texts)}
    found += _wrong_interactions(draft, document, rows["interactions"], entities)
    for side, table in (("item", "items"), ("query", "queries")):
        found += _wrong_side(draft, document, side, table, rows[table], entities[side])
    found += _wrong_sharing(draft, document)
    return found


def spelling(draft: Draft, side: str, known: set[str]) -> list[str] | None:
    """Return the text of every entity of a side in the spelling that the project has chosen.

    A rule of `--ids` counts for both sides, so it may have changed ids that needed none.
    """
    for texts in draft.spellings[side]:
        for rule in (str, lambda text: text.lstrip("0") or "0", str.lower):
            spelled = [rule(text) for text in texts]
            if known <= set(spelled) and len(set(spelled)) == len(spelled):
                return spelled
    return None


def _wrong_keys(draft: Draft, document: dict[str, Any]) -> Iterator[str]:
    for side, table in (("item", "items"), ("query", "queries")):
        part: Any = f"{side} key"
        own = draft.find(table, part)  # type: ignore[arg-type]
        there = draft.column("interactions", part)
        expected = (None if own is None else own.name, there.name)
        made = (document[table]["key"], document[table]["interactions_key"])
        if tuple(None if n is None else n.strip() for n in made) != expected:
            yield f"the key of {table} is {made}, not {expected}"
    weight = draft.find("interactions", "weight")
    made_weight = document["interactions"]["weight"]
    others = {c.name for c in draft.tables["interactions"] if c.part == "other"}
    if weight is not None and made_weight != weight.name:
        yield f"the weight is {made_weight}, not {weight.name}"
    if weight is None and made_weight not in {None, draft.answers.get("weight")} & {None, *others}:
        yield f"the weight is {made_weight}, and there is none"


def _wrong_interactions(
    draft: Draft,
    document: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    entities: dict[str, dict[str, int]],
) -> Iterator[str]:
    item, query = (draft.column("interactions", f"{s} key") for s in ("item", "query"))  # type: ignore[arg-type]
    # Without an id there is no interaction: init may refuse such rows, or leave them out.
    kept = [n for n, pair in enumerate(zip(item.values, query.values, strict=True))
            if None not in pair]  # fmt: skip
    assert item.truth is not None
    assert query.truth is not None
    pairs = Counter((query.truth[n], item.truth[n]) for n in kept)
    made = Counter((entities["query"][r["query_id"]], entities["item"][r["item_id"]])
                   for r in rows)  # fmt: skip
    if made != pairs:
        yield f"{(pairs - made).total()} pairs of the interactions are missing"
        return
    time, weight = draft.find("interactions", "time"), draft.find("interactions", "weight")
    if time is None:
        if len({row["event_timestamp"] for row in rows}) > 1:
            made_of = document["interactions"]["timestamp"]["column"]
            yield f"times from {made_of}, and there are none"
    elif time.truth is not None:
        moments = {}
        for n in kept:
            moments.setdefault((query.truth[n], item.truth[n]), []).append(time.truth[n])
        for row in rows:
            of_pair = (entities["query"][row["query_id"]], entities["item"][row["item_id"]])
            if not _is_among(row["event_timestamp"], moments[of_pair]):
                yield (f"the time of {of_pair} is {row['event_timestamp']}, "
                       f"not {moments[of_pair][0]}")  # fmt: skip
                break
    if weight is not None and weight.truth is not None:
        expected = Counter((query.truth[n], item.truth[n], _rounded(weight.truth[n])) for n in kept)
        found = Counter(
            (
                entities["query"][row["query_id"]],
                entities["item"][row["item_id"]],
                _rounded(row["weight"]),
            )
            for row in rows
        )
        if found != expected:
            yield f"weights differ: {list((found - expected).items())[:2]}"


def _is_among(moment: Any, expected: Sequence[Any]) -> bool:
    return any(abs(moment - each) < timedelta(seconds=1) for each in expected)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 3)


def _wrong_side(
    draft: Draft,
    document: dict[str, Any],
    side: str,
    table: Any,
    rows: Sequence[dict[str, Any]],
    entities: dict[str, int],
) -> Iterator[str]:
    columns = draft.tables.get(table)
    if columns is None:
        return
    key = draft.column(table, f"{side} key")  # type: ignore[arg-type]
    assert key.truth is not None
    row_of = {}
    for n, entity in enumerate(key.truth):
        row_of.setdefault(entity, n)
    told = {entry["column"].strip(): entry for entry in document[table]["features"]}
    for column in columns:
        entry = told.get(column.name)
        is_used = entry is not None and not entry["left_out"]
        if column.part == "row number" and is_used:
            yield f"the row number `{column.name}` of {table} is a feature"
        if column.part == "group" and not is_used:
            reason = None if entry is None else entry["left_out"]
            yield f"the group `{column.name}` of {table} is no feature: {reason}"
        if column.truth is None or column.part not in ("feature", "group") or not is_used:
            continue
        for row in rows:
            value = column.truth[row_of[entities[row[f"{side}_id"]]]]
            if not _is_same(row[entry["name"]], value):
                yield (f"`{column.name}` of {row[f'{side}_id']} is {row[entry['name']]!r}, "
                       f"not {value!r}")  # fmt: skip
                break
    yield from _wrong_times(draft, document, table, side, rows, entities, row_of)
    if table == "items":
        yield from _wrong_tombstones(draft, document, rows, entities, row_of)


def _is_same(made: Any, value: Any) -> bool:
    """Return whether a value is the truth: lists in any order, numbers by size, else as text."""
    if value is None or made is None:
        return made in (None, []) and value is None
    if isinstance(made, list):
        parts = value if isinstance(value, set) else {value}
        return {str(part) for part in made} == {str(part) for part in parts}
    if isinstance(value, set):
        return len(value) == 1 and str(made) == str(next(iter(value)))
    if isinstance(value, float):
        return abs(float(str(made).replace(",", ".")) - value) < 1e-4 * (1 + abs(value))
    return str(made) == str(value) or str(made) == f"{value}.0"


def _wrong_times(
    draft: Draft,
    document: dict[str, Any],
    table: Any,
    side: str,
    rows: Sequence[dict[str, Any]],
    entities: dict[str, int],
    row_of: dict[int, int],
) -> Iterator[str]:
    time = draft.find(table, "time")
    made = document[table]["timestamp"]["column"]
    if time is None:
        if made is not None:
            yield f"the time of {table} is `{made}`, and there is none"
        return
    # Without times of the interactions, it does not matter when an item became what it is.
    if made is None and draft.find("interactions", "time") is None:
        return
    assert time.truth is not None
    for row in rows:
        value = time.truth[row_of[entities[row[f"{side}_id"]]]]
        if not _is_among(row["event_timestamp"], [value]):
            yield (f"the time of {row[f'{side}_id']} is {row['event_timestamp']}, not {value}, "
                   f"from {made}")  # fmt: skip
            return


def _wrong_tombstones(
    draft: Draft,
    document: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    entities: dict[str, int],
    row_of: dict[int, int],
) -> Iterator[str]:
    gone = draft.find("items", "gone")
    made = {row["item_id"] for row in rows if row.get("active") is False}
    if gone is None:
        if made:
            yield f"{len(made)} items are gone, and none are"
        return
    assert gone.truth is not None
    expected = {row["item_id"] for row in rows if gone.truth[row_of[entities[row["item_id"]]]]}
    if made == expected:
        return
    # By a name that says it less plainly, a warning is enough; then the column may be a feature.
    is_plain = "active" in gone.name.lower() or "deleted" in gone.name.lower()
    if made or is_plain or not any(gone.name in warning for warning in document["warnings"]):
        yield f"`{gone.name}`: {len(made)} items are gone, not {len(expected)}"


def _wrong_sharing(draft: Draft, document: dict[str, Any]) -> Iterator[str]:
    """Yield the embedding tables that hold values of two meanings."""
    meanings: dict[str, set[str]] = {}
    for side, table in (("item", "items"), ("query", "queries")):
        if document[table]["table"] is not None:
            meanings.setdefault(document[table]["table"], set()).add(side)
        by_name: dict[str, Column] = {c.name: c for c in draft.tables.get(table, [])}  # type: ignore[call-overload]
        for entry in document[table]["features"]:
            column = by_name.get(entry["column"].strip())
            if entry["table"] is not None and not entry["left_out"] and column is not None:
                meanings.setdefault(entry["table"], set()).add(column.meaning)
    for name, shared in meanings.items():
        if len(shared) > 1:
            yield f"the embedding table {name} is shared by {sorted(shared)}"

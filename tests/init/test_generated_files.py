"""A property test: whatever the files look like, init gets the roles right or refuses for a reason.

`files/` draws the files. A failure prints what repeats it, and
`python -m tests.init.files.generated FORMAT SEED FOLDER` writes those files.
"""

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from tests.init.files.draft import FORMATS, Draft, Format, Quirk
from tests.init.files.generated import QUIRKS, Generated, generate, quirk
from tests.init.files.judge import Verdict, judge

NUM_SEEDS = 20
# Of the drawn projects, no more may be refused: else the files are odder than people's.
MAX_REFUSED = 0.5
HAS_SPARK = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None
SPARK = pytest.param(
    "spark",
    marks=[pytest.mark.slow, pytest.mark.skipif(not HAS_SPARK, reason="needs pyspark and Java")],
)
EVERY_FORMAT = [*FORMATS[:-1], SPARK]


def verdict_of(
    folder: Path, writer: Format, seed: int, quirks: Sequence[Quirk] | None
) -> tuple[Generated, Verdict]:
    """Generate files, judge what init makes of them, and remove them."""
    generated = generate(seed, writer, folder / "files", quirks)
    try:
        return generated, judge(generated, folder / "project")
    finally:
        shutil.rmtree(folder / "files")
        shutil.rmtree(folder / "project", ignore_errors=True)


@pytest.mark.parametrize("writer", EVERY_FORMAT)
def test_init_is_right_or_refuses_for_a_reason(tmp_path: Path, writer: Format) -> None:
    wrong, refused = [], 0
    for seed in range(NUM_SEEDS):
        generated, verdict = verdict_of(tmp_path, writer, seed, None)
        refused += verdict.outcome == "refused"
        if verdict.outcome == "wrong":
            wrong.append(f"{generated.repeat}: {verdict.reason}")
    print(f"{writer}: {refused / NUM_SEEDS:.0%} of {NUM_SEEDS} projects are refused")
    assert wrong == []
    assert refused <= MAX_REFUSED * NUM_SEEDS


@pytest.mark.parametrize("writer", EVERY_FORMAT)
def test_tidy_files_are_never_refused(tmp_path: Path, writer: Format) -> None:
    for seed in range(2):
        _, verdict = verdict_of(tmp_path, writer, seed, [])
        assert verdict == Verdict("right")


@pytest.mark.slow
@pytest.mark.parametrize("writer", EVERY_FORMAT)
@pytest.mark.timeout(900)
def test_each_quirk_alone_is_right_or_refused_for_a_reason(tmp_path: Path, writer: Format) -> None:
    """Each quirk is in one of the formats that it fits, for all of them would take half an hour."""
    wrong = []
    for number, each in enumerate(QUIRKS):
        if writer == each.formats[number % len(each.formats)]:
            generated, verdict = verdict_of(tmp_path, writer, 1, [each])
            if verdict.outcome == "wrong":
                wrong.append(f"{generated.repeat}: {verdict.reason}")
    assert wrong == []


# Each makes the truth another than the files'. The judge must notice, or it notices nothing.
def swap_neighbours(draft: Draft) -> None:
    column = draft.column("items", "group")
    assert column.truth is not None
    column.truth = [*column.truth[1:], column.truth[0]]


def swap_sides(draft: Draft) -> None:
    item, query = (draft.column("interactions", f"{side} key") for side in ("item", "query"))  # type: ignore[arg-type]
    item.part, query.part = "query key", "item key"


def take_other_items(draft: Draft) -> None:
    column = draft.column("interactions", "item key")
    assert column.truth is not None
    column.truth = [*column.truth[1:], column.truth[0]]


def come_later(draft: Draft) -> None:
    column = draft.column("interactions", "time")
    assert column.truth is not None
    column.truth = [moment + timedelta(hours=1) for moment in column.truth]


def weigh_more(draft: Draft) -> None:
    column = draft.column("interactions", "weight")
    assert column.truth is not None
    column.truth = [weight + 1 for weight in column.truth]


def revive(draft: Draft) -> None:
    column = draft.column("items", "gone")
    assert column.truth is not None
    column.truth = [not gone for gone in column.truth]


def mistake_for_row_number(draft: Draft) -> None:
    draft.column("items", "feature").part = "row number"


def doubt(draft: Draft) -> None:
    draft.excuse("genre", required=True)


@pytest.mark.parametrize(
    ("quirks", "change", "noticed"),
    [
        ([], swap_neighbours, "`genre` of"),
        ([], swap_sides, "the key of items is"),
        ([], take_other_items, "pairs of the interactions are missing"),
        ([], come_later, "the time of"),
        (["weight: varied"], weigh_more, "weights differ"),
        (["gone: active booleans"], revive, "items are gone, not"),
        (["items: words"], mistake_for_row_number, "the row number `colour` of items is a feature"),
        ([], doubt, "guessed"),
        (["weight: negative"], lambda draft: draft.excuses.clear(), "refused without need"),
    ],
)
def test_the_judge_notices_what_is_wrong(
    tmp_path: Path, quirks: list[str], change: Callable[[Draft], None], noticed: str
) -> None:
    generated = generate(0, "arrow", tmp_path / "files", [quirk(name) for name in quirks])
    change(generated.draft)
    verdict = judge(generated, tmp_path / "project")
    assert verdict.outcome == "wrong"
    assert noticed in verdict.reason


def test_the_judge_notices_an_embedding_table_of_two_meanings(tmp_path: Path) -> None:
    words = quirk("queries with the items' words")
    generated, verdict = verdict_of(tmp_path, "arrow", 0, [words])
    assert verdict.outcome == "right"
    generated = generate(0, "arrow", tmp_path / "files", [words])
    generated.draft.tables["queries"][-1].meaning = "what a query wrote"
    verdict = judge(generated, tmp_path / "project")
    assert verdict.outcome == "wrong"
    assert "the embedding table genre is shared by" in verdict.reason


def test_a_project_is_repeated_by_seed_and_format(tmp_path: Path) -> None:
    for writer in FORMATS[:-1]:
        for seed in (3, 4):
            one = generate(seed, writer, tmp_path / f"{writer}{seed}1")
            two = generate(seed, writer, tmp_path / f"{writer}{seed}2")
            assert one.repeat == two.repeat
            for name, path in one.paths.items():
                files = [path] if path.is_file() else sorted(path.iterdir())
                other = two.paths[name]
                others = [other] if other.is_file() else sorted(other.iterdir())
                assert [file.read_bytes() for file in files] == [f.read_bytes() for f in others]


def test_quirks_have_names_of_their_own() -> None:
    names = [each.name for each in QUIRKS]
    assert len(set(names)) == len(names)

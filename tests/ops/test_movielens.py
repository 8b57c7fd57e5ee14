"""MovieLens as three tables: small samples of the three forms, and the tables worked by hand."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ops.datasets import movielens
from tests.integration.conftest import child_environment

# Every sample has ratings at these two moments.
EARLY, LATE = 881250949, 891717742
T1, T2 = (datetime.fromtimestamp(second, UTC) for second in (EARLY, LATE))

GENRES = "unknown|0\nAction|1\nChildren's|2\nDrama|3\n\n"
FILMS_100K = """\
1|Toy Story (1995)|01-Jan-1995||http://films.example/?Toy%20Story%20(1995)|0|0|1|0
2|Misérables, Les (1995)|01-Jan-1995||http://films.example/2|0|1|0|1
3|unknown||||1|0|0|0
4|Land Before Time III: The Time of the Great Giving (1995) (V)|||http://films.example|0|0|0|0
"""
USERS_100K = """\
1|24|M|technician|85711
2|17|F|student|V3N4P
3|56|M|other|
"""
RATINGS_100K = f"1\t1\t5\t{LATE}\n1\t2\t3\t{EARLY}\n3\t2\t4\t{EARLY}\n2\t3\t4\t{LATE}\n"

FILMS_1M = """\
1::Toy Story (1995)::Animation|Children's|Comedy
73::Misérables, Les (1995)::Drama|Musical
"""
USERS_1M = "1::F::1::10::48067\n2::M::56::16::98107-2117\n"
RATINGS_1M = f"1::73::5::{EARLY}\n2::73::3::{EARLY}\n2::1::4::{LATE}\n"

FILMS_LATEST = """\
movieId,title,genres
1,Toy Story (1995),Adventure|Animation
11,"American President, The (1995)",Comedy
2,Death Note: Desu nôto (2006\u20132007),(no genres listed)
3,"11'09""01 - September 11 (2002)",Drama
4,Babylon 5,Sci-Fi
"""
RATINGS_LATEST = f"""\
userId,movieId,rating,timestamp
7,1,4.0,{EARLY}
7,11,3.5,{LATE}
2,1,4.5,{LATE}
2,3,0.5,{LATE}
"""
TAGS_LATEST = f"""\
userId,movieId,tag,timestamp
2,1,Pixar,{LATE}
7,1,"fun, and
more",{LATE}
7,11,politics,{EARLY - 60}
2,11,politics,{LATE}
2,11, President ,{LATE}
"""


def write(folder: Path, encoding: str, **texts: str) -> Path:
    """Write files into a folder; the underscore in a name stands for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text, encoding, newline="\n")
    return folder


def write_100k(folder: Path, **changed: str) -> Path:
    files = {"u_data": RATINGS_100K, "u_item": FILMS_100K, "u_genre": GENRES, "u_user": USERS_100K}
    return write(folder, "latin-1", **(files | changed))


def write_1m(folder: Path, **changed: str) -> Path:
    files = {"ratings_dat": RATINGS_1M, "movies_dat": FILMS_1M, "users_dat": USERS_1M}
    return write(folder, "latin-1", **(files | changed))


def write_latest(folder: Path, **changed: str) -> Path:
    files = {"ratings_csv": RATINGS_LATEST, "movies_csv": FILMS_LATEST, "tags_csv": TAGS_LATEST}
    return write(folder, "utf-8", **(files | changed))


def rows(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_100k(tmp_path: Path) -> None:
    tables = movielens.read_tables(write_100k(tmp_path))
    assert tables["items"].column_names == ["item_id", "title_words", "genres", "year"]
    time_iii = ["land", "before", "time", "iii", "the", "of", "great", "giving", "v"]
    assert rows(tables["items"]) == [
        ("m1", ["toy", "story"], ["Children's"], "1995"),
        ("m2", ["misérables", "les"], ["Action", "Drama"], "1995"),
        ("m3", ["unknown"], None, None),
        ("m4", time_iii, None, "1995"),
    ]
    columns = ["query_id", "age", "gender", "occupation", "zip_area"]
    assert tables["queries"].column_names == columns
    assert rows(tables["queries"]) == [
        ("u1", "18-24", "M", "technician", "8"),
        ("u2", "under 18", "F", "student", "V"),
        ("u3", "56+", "M", "other", None),
    ]
    assert tables["interactions"].column_names == ["query_id", "item_id", "event_timestamp"]
    assert rows(tables["interactions"]) == [("u1", "m1", T2), ("u3", "m2", T1), ("u2", "m3", T2)]


def test_1m(tmp_path: Path) -> None:
    tables = movielens.read_tables(write_1m(tmp_path))
    assert rows(tables["items"]) == [
        ("m1", ["toy", "story"], ["Animation", "Children's", "Comedy"], "1995"),
        ("m73", ["misérables", "les"], ["Drama", "Musical"], "1995"),
    ]
    assert rows(tables["queries"]) == [
        ("u1", "under 18", "F", "10", "4"),
        ("u2", "56+", "M", "16", "9"),
    ]
    assert rows(tables["interactions"]) == [("u1", "m73", T1), ("u2", "m1", T2)]


def test_latest_small_has_tags_from_the_moment_when_they_were_given(tmp_path: Path) -> None:
    tables = movielens.read_tables(write_latest(tmp_path))
    start = datetime.fromtimestamp(EARLY - 60, UTC)
    toys = ("m1", ["toy", "story"], ["Adventure", "Animation"], "1995")
    president = ("m11", ["american", "president", "the"], ["Comedy"], "1995")
    names = ["item_id", "title_words", "genres", "year", "tags", "event_timestamp"]
    assert tables["items"].column_names == names
    assert rows(tables["items"]) == [
        (*toys, None, start),
        (*toys, ["fun, and\nmore", "pixar"], T2),
        (*president, ["politics"], start),
        (*president, ["politics", "president"], T2),
        ("m2", ["death", "note", "desu", "nôto"], None, "2006", None, start),
        ("m3", ["11'09", "01", "september", "11"], ["Drama"], "2002", None, start),
        ("m4", ["babylon", "5"], ["Sci-Fi"], None, None, start),
    ]
    assert rows(tables["queries"]) == [("u7",), ("u2",)]
    assert rows(tables["interactions"]) == [("u7", "m1", T1), ("u2", "m1", T2)]


def test_times_are_utc_and_ids_are_strings(tmp_path: Path) -> None:
    tables = movielens.read_tables(write_latest(tmp_path))
    for name in ("items", "interactions"):
        assert tables[name].schema.field("event_timestamp").type == pa.timestamp("s", tz="UTC")
    for name, key in (("items", "item_id"), ("queries", "query_id"), ("interactions", "item_id")):
        assert tables[name].schema.field(key).type == pa.string()


@pytest.mark.parametrize(("lowest", "number"), [(5.0, 1), (4.0, 3), (3.0, 4), (3.5, 3)])
def test_the_lowest_rating_can_be_chosen(lowest: float, number: int, tmp_path: Path) -> None:
    assert movielens.read_tables(write_100k(tmp_path), lowest)["interactions"].num_rows == number


@pytest.mark.parametrize(
    ("age", "band"),
    [
        *((0, "under 18"), (17, "under 18"), (18, "18-24"), (24, "18-24"), (25, "25-34")),
        *((34, "25-34"), (35, "35-44"), (44, "35-44"), (45, "45-49"), (49, "45-49")),
        *((50, "50-55"), (55, "50-55"), (56, "56+"), (73, "56+")),
    ],
)
def test_ages_fall_into_the_bands_of_1m(age: int, band: str, tmp_path: Path) -> None:
    folder = write_100k(tmp_path, u_user=f"1|{age}|M|writer|00000\n")
    assert movielens.read_tables(folder)["queries"]["age"].to_pylist() == [band]


def test_the_command_writes_three_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = write_1m(tmp_path / "ml-1m"), tmp_path / "a" / "tables"
    command = ["movielens.py", "--folder", str(folder), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", [*command, "--min-rating", "5"])
    movielens.main()
    assert capsys.readouterr().out == "items: 2 rows\nqueries: 2 rows\ninteractions: 1 rows\n"
    assert sorted(path.name for path in output.iterdir()) == [
        *("interactions.parquet", "items.parquet", "queries.parquet"),
    ]
    assert rows(pq.read_table(output / "interactions.parquet")) == [("u1", "m73", T1)]


def test_an_unknown_folder_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_100k(tmp_path / "half")
    (folder / "u.user").unlink()
    command = ["movielens.py", "--folder", str(folder), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="no MovieLens release that is known") as caught:
        movielens.main()
    for part in (str(folder), "100k has u.data, u.item, u.genre, u.user", "latest-small", "1m has"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("release", "changed", "message"),
    [
        (write_100k, {"u_data": "1\t1\t5\t8\n1\t2\t3\n"}, "u.data: line 2 has 3 fields, and .* 4"),
        (write_100k, {"u_data": "1\t1\tfive\t8\n"}, "u.data: line 1 has 'five' for its rating"),
        (write_100k, {"u_data": "1\t1\tnan\t8\n"}, "u.data: line 1 has 'nan' for its rating"),
        (write_100k, {"u_data": "1\t1\t5\tnow\n"}, "u.data: line 1 has 'now' for its timestamp"),
        (write_100k, {"u_item": "1|Toy Story (1995)|||\n"}, "u.item: line 1 has 5 fields, .* 9"),
        (write_100k, {"u_item": "1|Toys||||0|x|0|0\n"}, "u.item: line 1 has 'x' for its Action"),
        (write_100k, {"u_user": "1|old|M|writer|0\n"}, "u.user: line 1 has 'old' for its age"),
        (write_1m, {"ratings_dat": "1:1:5:8\n"}, "ratings.dat: line 1 has 1 fields, and .* 4"),
        (write_1m, {"movies_dat": "\n1::Toys\n"}, "movies.dat: line 2 has 2 fields, and .* 3"),
        (write_1m, {"users_dat": "x::F::1::10::48067\n"}, "users.dat: line 1 has 'x' for its user"),
        (
            write_latest,
            {"ratings_csv": RATINGS_LATEST + "2,3,good,8\n"},
            "ratings.csv: line 6 has 'good' for its rating, which is no number",
        ),
        # A quoted field of two lines: the place is the line that the record ends on.
        (write_latest, {"tags_csv": TAGS_LATEST + "2,11,x\n"}, "tags.csv: line 8 has 3 fields"),
        (write_latest, {"movies_csv": "a,b,c\n1,Toys\n"}, "movies.csv: line 2 has 2 fields, .* 3"),
    ],
)
def test_a_line_that_cannot_be_read_is_one_error(
    release: Any, changed: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=message) as caught:
        movielens.read_tables(release(tmp_path, **changed))
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def sample_of_latest_small(folder: Path) -> Path:
    """Write some hundred random ratings and a few tags of 60 films by 40 users."""
    rng = np.random.default_rng(0)
    genres = ["Action", "Comedy", "Drama", "Horror"]
    films = ["movieId,title,genres"]
    films += [f"{n},Film of number {n} ({1980 + n % 20}),{genres[n % 4]}" for n in range(1, 61)]
    ratings = ["userId,movieId,rating,timestamp"]
    for user in range(1, 41):
        for film in rng.choice(60, 12, replace=False):
            second = EARLY + int(rng.integers(0, 10_000_000))
            ratings.append(f"{user},{film + 1},{rng.integers(1, 11) / 2},{second}")
    tags = ["userId,movieId,tag,timestamp"]
    tags += [f"1,{n},{('funny', 'dark')[n % 2]},{EARLY + 100_000 * n}" for n in range(1, 31)]
    texts = ("\n".join(lines) + "\n" for lines in (films, ratings, tags))
    return write(
        folder, "utf-8", **dict(zip(("movies_csv", "ratings_csv", "tags_csv"), texts, strict=True))
    )


def command(*arguments: object) -> str:
    """Run a Python program as a user does, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_init_makes_a_project_that_passes_its_checks(tmp_path: Path) -> None:
    folder, tables = sample_of_latest_small(tmp_path / "ml"), tmp_path / "tables"
    command(movielens.__file__, "--folder", folder, "--output", tables)
    paths = {name: tables / f"{name}.parquet" for name in ("items", "queries", "interactions")}
    options = [f"--{name}={path}" for name, path in paths.items()]
    found = json.loads(
        command("-m", "longtail.cli", "init", tmp_path / "films", *options, "--json")
    )
    kinds = {feature["column"]: feature["kind"] for feature in found["items"]["features"]}
    assert kinds == {"title_words": "multi", "genres": "multi", "year": "single", "tags": "multi"}
    assert found["items"]["timestamp"]["column"] == "event_timestamp"
    config = tmp_path / "films" / "longtail.yaml"
    report = json.loads(command("-m", "longtail.cli", "check", "--config", config, "--json"))
    assert [p for p in report["problems"] if p["severity"] == "error"] == []
    liked = pq.read_table(paths["interactions"])
    assert report["as_of"] == str(max(liked["event_timestamp"].to_pylist()).date())
    sizes = {name: side["num_rows"] for name, side in report["refused"].items()}
    # 60 films and 30 tags, each later than the first rating; 40 users.
    assert sizes == {"items": 90, "queries": 40, "interactions": liked.num_rows}

"""Writes MovieLens as three tables for `longtail init`: users (queries) like films (items).

It reads the unpacked folder of the 100k, latest-small or 1m release; see README.md beside this
file. An interaction is a rating of at least `--min-rating`: ratings below say that a user did not
like the film, and interactions are positives only. The default of 4 is that of Liang et al. 2018
(arXiv 1802.05814) and of Steck 2019 (arXiv 1905.03375), who make implicit feedback of MovieLens.
"""

import argparse
import bisect
import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

MIN_RATING = 4.0
LISTS = pa.list_(pa.string())
TIMES = pa.timestamp("s", tz="UTC")

# The year stands in brackets at the end of a title, or before a mark such as (V), for video.
YEAR = re.compile(r"\((\d{4})(?:\s*[-\u2013]\s*(?:\d{4})?)?\)")
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
# The ages that the bands of the 1m release begin at.
AGES = (0, 18, 25, 35, 45, 50, 56)
BANDS = ("under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+")


class Line(NamedTuple):
    """The fields of one line, and where it stands."""

    file: Path
    number: int
    fields: list[str]

    def refuse(self, problem: str) -> NoReturn:
        """Stop: the line has a problem."""
        raise SystemExit(f"{self.file}: line {self.number} {problem}")

    def whole(self, position: int, name: str) -> int:
        """Return a field that is a whole number."""
        text = self.fields[position].strip()
        if not re.fullmatch("[0-9]+", text):
            self.refuse(f"has {text!r} for its {name}, which is no whole number")
        return int(text)

    def number_of(self, position: int, name: str) -> float:
        """Return a field that is a number."""
        text = self.fields[position].strip()
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.refuse(f"has {text!r} for its {name}, which is no number")
        return value


class Release(NamedTuple):
    """A form of the data: its files, and how they become tables.

    Attributes:
        files: the files that tell the release from others.
        items, queries: read these tables.
        ratings: yields the line of each rating: user, film, rating, seconds since 1970.
    """

    files: tuple[str, ...]
    items: Callable[[Path], pa.Table]
    queries: Callable[[Path], pa.Table]
    ratings: Callable[[Path], Iterator[Line]]


def main() -> None:
    """Read the command line, and write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="unpacked folder of a release")
    parser.add_argument("--output", type=Path, required=True, help="folder for the three tables")
    parser.add_argument(
        "--min-rating", type=float, default=MIN_RATING, help="lowest rating that counts (default 4)"
    )
    options = parser.parse_args()
    tables = read_tables(options.folder, options.min_rating)
    options.output.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, options.output / f"{name}.parquet")
        print(f"{name}: {table.num_rows} rows")


def read_tables(folder: Path, min_rating: float = MIN_RATING) -> dict[str, pa.Table]:
    """Return the tables `items`, `queries` and `interactions`.

    An item has `title_words`, `genres` and `year`. latest-small has the items' `tags` as well, and
    a row of an item for each moment from which on it has another tag. A query has `age` (a band),
    `gender`, `occupation` and `zip_area` in 100k and 1m, and no features in latest-small. A missing
    value is null.

    Args:
        folder: the unpacked folder of a release.
        min_rating: the lowest rating that is an interaction.

    Raises:
        SystemExit: the folder holds no known release, or a line cannot be read.
    """
    release = find_release(folder)
    liked = [
        (_user(line), _film(line, 1), line.whole(3, "timestamp"))
        for line in release.ratings(folder)
        if line.number_of(2, "rating") >= min_rating
    ]
    return {
        "items": release.items(folder),
        "queries": release.queries(folder),
        "interactions": pa.table(
            {
                "query_id": pa.array([user for user, _, _ in liked], pa.string()),
                "item_id": pa.array([film for _, film, _ in liked], pa.string()),
                "event_timestamp": pa.array([second for _, _, second in liked], TIMES),
            }
        ),
    }


def find_release(folder: Path) -> Release:
    """Return the release that a folder holds, by its files.

    Raises:
        SystemExit: it holds none.
    """
    for release in RELEASES.values():
        if all((folder / name).is_file() for name in release.files):
            return release
    known = "; ".join(f"{name} has {', '.join(r.files)}" for name, r in RELEASES.items())
    raise SystemExit(
        f"{folder}: no MovieLens release that is known ({known}): give the unpacked folder of one"
    )


def _items_100k(folder: Path) -> pa.Table:
    genres = [line.fields[0] for line in _lines(folder / "u.genre", "|", 2, "latin-1")]
    films = []
    # Number, title, two dates and an address come first, then a flag for each genre.
    for line in _lines(folder / "u.item", "|", 5 + len(genres), "latin-1"):
        flags = [line.whole(5 + position, name) for position, name in enumerate(genres)]
        flagged = [name for name, flag in zip(genres, flags, strict=True) if flag]
        films.append((line, line.fields[1], flagged))
    return _items(films)


def _queries_100k(folder: Path) -> pa.Table:
    lines = list(_lines(folder / "u.user", "|", 5, "latin-1"))
    return _queries(lines, age=1, gender=2)


def _ratings_100k(folder: Path) -> Iterator[Line]:
    return _lines(folder / "u.data", "\t", 4, "latin-1")


def _items_1m(folder: Path) -> pa.Table:
    lines = _lines(folder / "movies.dat", "::", 3, "latin-1")
    return _items([(line, line.fields[1], line.fields[2].split("|")) for line in lines])


def _queries_1m(folder: Path) -> pa.Table:
    lines = list(_lines(folder / "users.dat", "::", 5, "latin-1"))
    return _queries(lines, age=2, gender=1)


def _ratings_1m(folder: Path) -> Iterator[Line]:
    return _lines(folder / "ratings.dat", "::", 4, "latin-1")


def _items_latest(folder: Path) -> pa.Table:
    """Return the films, each with a row for every moment at which its tags changed.

    Tags that came later than an interaction are unknown to it. The first row of a film has the time
    of the release's first rating or tag: title and genres are taken to be known from then on.
    """
    lines = _csv(folder / "movies.csv", 3)
    films = _items([(line, line.fields[1], line.fields[2].split("|")) for line in lines])
    tagged: dict[str, list[tuple[int, str]]] = {}
    for line in _csv(folder / "tags.csv", 4):
        dated = (line.whole(3, "timestamp"), line.fields[2].strip().lower())
        tagged.setdefault(_film(line, 1), []).append(dated)
    rated = [line.whole(3, "timestamp") for line in _ratings_latest(folder)]
    start = min([*rated, *(second for tags in tagged.values() for second, _ in tags)], default=0)

    rows: list[int] = []
    tags: list[list[str] | None] = []
    seconds: list[int] = []
    for row, film in enumerate(films["item_id"].to_pylist()):
        first_at: dict[str, int] = {}
        for second, tag in sorted(tagged.get(film, [])):
            if tag:
                first_at.setdefault(tag, second)
        for second in sorted({start, *first_at.values()}):
            rows.append(row)
            tags.append(sorted(tag for tag, since in first_at.items() if since <= second) or None)
            seconds.append(second)
    table = films.take(rows).append_column("tags", pa.array(tags, LISTS))
    return table.append_column("event_timestamp", pa.array(seconds, TIMES))


def _queries_latest(folder: Path) -> pa.Table:
    users = dict.fromkeys(_user(line) for line in _ratings_latest(folder))
    return pa.table({"query_id": pa.array(list(users), pa.string())})


def _ratings_latest(folder: Path) -> Iterator[Line]:
    return _csv(folder / "ratings.csv", 4)


RELEASES = {
    "100k": Release(
        ("u.data", "u.item", "u.genre", "u.user"), _items_100k, _queries_100k, _ratings_100k
    ),
    "latest-small": Release(
        ("ratings.csv", "movies.csv", "tags.csv"), _items_latest, _queries_latest, _ratings_latest
    ),
    "1m": Release(("ratings.dat", "movies.dat", "users.dat"), _items_1m, _queries_1m, _ratings_1m),
}


def _items(films: Iterable[tuple[Line, str, list[str]]]) -> pa.Table:
    """Return one row for each film, from its line, its title and its genres."""
    ids, words, genres, years = [], [], [], []
    for line, title, of_film in films:
        ids.append(_film(line, 0))
        *_, year = [None, *YEAR.finditer(title)]
        name = title if year is None else title[: year.start()] + title[year.end() :]
        words.append(list(dict.fromkeys(WORD.findall(name.lower()))) or None)
        years.append(None if year is None else year[1])
        genres.append([g for g in of_film if g not in ("unknown", "(no genres listed)")] or None)
    return pa.table(
        {
            "item_id": pa.array(ids, pa.string()),
            "title_words": pa.array(words, LISTS),
            "genres": pa.array(genres, LISTS),
            "year": pa.array(years, pa.string()),
        }
    )


def _queries(lines: list[Line], *, age: int, gender: int) -> pa.Table:
    """Return one row for each user; occupation and zip code are the last two fields of all."""
    bands = [BANDS[bisect.bisect_right(AGES, line.whole(age, "age")) - 1] for line in lines]
    return pa.table(
        {
            "query_id": pa.array([_user(line) for line in lines], pa.string()),
            "age": pa.array(bands, pa.string()),
            "gender": pa.array([line.fields[gender] or None for line in lines], pa.string()),
            "occupation": pa.array([line.fields[3] or None for line in lines], pa.string()),
            # A first digit stands for some states, a first letter for a province of Canada.
            "zip_area": pa.array([line.fields[4][:1] or None for line in lines], pa.string()),
        }
    )


def _user(line: Line) -> str:
    """Return the id of a line's user. Letters keep users and films apart: both are numbered."""
    return f"u{line.whole(0, 'user')}"


def _film(line: Line, position: int) -> str:
    return f"m{line.whole(position, 'film')}"


def _lines(file: Path, separator: str, num_fields: int, encoding: str) -> Iterator[Line]:
    with file.open(encoding=encoding) as lines:
        for number, text in enumerate(lines, start=1):
            if text.strip():
                yield _checked(Line(file, number, text.rstrip("\r\n").split(separator)), num_fields)


def _csv(file: Path, num_fields: int) -> Iterator[Line]:
    """Yield the lines of a CSV file after its header."""
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        reader = csv.reader(lines)
        next(reader, None)
        for fields in reader:
            if fields:
                yield _checked(Line(file, reader.line_num, fields), num_fields)


def _checked(line: Line, num_fields: int) -> Line:
    """Return the line.

    Raises:
        SystemExit: it has another number of fields.
    """
    if len(line.fields) != num_fields:
        line.refuse(f"has {len(line.fields)} fields, and should have {num_fields}")
    return line


if __name__ == "__main__":
    main()

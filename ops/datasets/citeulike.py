"""Writes CiteULike as three tables for `longtail init`: users (queries) keep papers (items).

There are no times. It reads a clone of github.com/js05212/citeulike-a or citeulike-t; see
README.md beside this file.
"""

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MAX_WORDS = 30
LISTS = pa.list_(pa.string())


def main() -> None:
    """Read the command line, and write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clone", type=Path, required=True, help="folder of the clone")
    parser.add_argument("--output", type=Path, required=True, help="folder for the three tables")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name, table in read_tables(options.clone).items():
        pq.write_table(table, options.output / f"{name}.parquet")
        print(f"{name}: {table.num_rows} rows")


def read_tables(clone: Path) -> dict[str, pa.Table]:
    """Return the tables `items`, `queries` and `interactions`.

    An item has `tags`, `cites` (ids of papers that it is linked with), and `words`, its most
    frequent ones, if the clone has bags of words.
    """
    users, links = _numbers(clone / "users.dat"), _numbers(clone / "citations.dat")
    columns = {"item_id": pa.array([_paper(n) for n in range(len(links))])}
    columns["tags"] = pa.array(_tags(clone, len(links)), LISTS)
    if (clone / "mult.dat").is_file():
        columns["words"] = pa.array(_words(clone), LISTS)
    columns["cites"] = pa.array([[_paper(n) for n in sorted(set(of))] for of in links], LISTS)
    kept = [(user, paper) for user, papers in enumerate(users) for paper in sorted(set(papers))]
    return {
        "items": pa.table(columns),
        "queries": pa.table({"query_id": [_user(n) for n in range(len(users))]}),
        "interactions": pa.table(
            {"query_id": [_user(u) for u, _ in kept], "item_id": [_paper(p) for _, p in kept]}
        ),
    }


def _tags(clone: Path, num_items: int) -> list[list[str]]:
    names = [name.strip() for name in _lines(clone / "tags.dat")]
    tags: list[set[str]] = [set() for _ in range(num_items)]
    if (clone / "item-tag.dat").is_file():
        for item, of_item in enumerate(_numbers(clone / "item-tag.dat")):
            tags[item].update(names[tag] for tag in of_item)
    else:
        for tag, items in enumerate(_numbers(clone / "tag-item.dat")):
            for item in items:
                tags[item].add(names[tag])
    return [sorted(of_item - {""}) for of_item in tags]


def _words(clone: Path) -> list[list[str]]:
    vocabulary = [word.strip() for word in _lines(clone / "vocabulary.dat")]
    words = []
    for line in _lines(clone / "mult.dat"):
        counts = [(int(word), int(count)) for word, count in _pairs(line)]
        counts.sort(key=lambda counted: (-counted[1], counted[0]))
        words.append([vocabulary[word] for word, _ in counts[:MAX_WORDS]])
    return words


def _pairs(line: str) -> list[list[str]]:
    return [pair.split(":") for pair in line.split()[1:]]


def _numbers(file: Path) -> list[list[int]]:
    """Return the numbers of each line. A line begins with their count.

    Raises:
        SystemExit: a line has another number of them.
    """
    numbers = []
    for row, line in enumerate(_lines(file)):
        count, *of_row = [int(number) for number in line.split()] or [0]
        if count != len(of_row):
            raise SystemExit(
                f"{file}: line {row + 1} declares {count} numbers and has {len(of_row)}"
            )
        numbers.append(of_row)
    return numbers


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8", errors="replace").splitlines()


def _paper(number: int) -> str:
    return f"p{number:05d}"


def _user(number: int) -> str:
    return f"u{number:04d}"


if __name__ == "__main__":
    main()

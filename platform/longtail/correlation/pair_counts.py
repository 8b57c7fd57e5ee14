"""Stored pair counts: a day's changes are added to them, without counting the past again.

The weights of `joint_weights` are sums over items. So the counts of today's catalogue are those of
yesterday's, plus those of today's new and changed rows, minus those of the rows that are gone.

    <folder>/3.parquet       value_0, weight, num_parts: the feature at position 3
    <folder>/1-3.parquet     value_0, value_1, weight, num_parts: the features at 1 and 3
    <folder>/manifest.json   the settings and the catalogue of the counts; written last
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from ibis import _
from ibis.expr.types import Table

from longtail.artifacts import MANIFEST, read_json, write_json
from longtail.correlation.measures import Missing
from longtail.correlation.mutual_information import joint_weights


@dataclass(frozen=True)
class CountSettings:
    """The settings that two sets of counts must share to be added up.

    Attributes:
        features: the names of the features, in order.
        types: the types of their columns.
        missing: see `joint_weights`.
        halvings: see `sample.sampled`.
        source: the hash of the code that counted.
    """

    features: tuple[str, ...]
    types: tuple[str, ...]
    missing: Missing
    halvings: int
    source: str


class PairCounts:
    """The counts in one folder.

    Args:
        folder: the folder of the counts; it need not exist yet.
        features: the names of the features, in order.
        key: the column that identifies an item. Pairs with it are not stored, since each of their
            value pairs would occur once.
        backend: an ibis backend that reads and writes Parquet.
    """

    def __init__(self, folder: Path, features: Sequence[str], key: str, backend: Any) -> None:
        self.folder = folder
        self.features = tuple(features)
        self.key = key
        self.backend = backend

    def joint(self, names: Sequence[str]) -> Table:
        """Return the stored counts of one or two features, as `joint_weights` would."""
        return self.backend.read_parquet(str(self._file(names)))

    def count(self, table: Table, missing: Missing) -> None:
        """Count a whole catalogue and store the counts."""
        for names in self._combinations():
            self._write(joint_weights(table, names, missing), names)

    def add(self, stored: "PairCounts", added: Table, removed: Table, missing: Missing) -> None:
        """Store the counts of another folder, after some items were added and some removed."""
        for names in self._combinations():
            gone = joint_weights(removed, names, missing)
            gone = gone.mutate(weight=-gone.weight, num_parts=-gone.num_parts)
            changed = stored.joint(names).union(joint_weights(added, names, missing)).union(gone)
            values = [f"value_{position}" for position in range(len(names))]
            summed = changed.group_by(values).aggregate(
                weight=_.weight.sum(), num_parts=_.num_parts.sum()
            )
            # A weight that should be 0 may be 1e-17 after subtraction; `num_parts` is exact.
            self._write(summed.filter(summed.num_parts > 0), names)

    def finish(self, settings: CountSettings, catalogue: str) -> None:
        """Write the manifest, which marks the counts as complete.

        Args:
            settings: the settings of the counts.
            catalogue: the fingerprint of the catalogue that was counted.
        """
        write_json(self.folder / MANIFEST, {"settings": asdict(settings), "catalogue": catalogue})

    def _combinations(self) -> Iterator[tuple[str, ...]]:
        yield from ((name,) for name in self.features)
        yield from (pair for pair in combinations(self.features, 2) if self.key not in pair)

    def _file(self, names: Sequence[str]) -> Path:
        positions = "-".join(str(self.features.index(name)) for name in names)
        return self.folder / f"{positions}.parquet"

    def _write(self, counts: Table, names: Sequence[str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.backend.to_parquet(counts, str(self._file(names)))


def counted_from(folder: Path, settings: CountSettings) -> str | None:
    """Return the fingerprint of the catalogue that stored counts were made from.

    None if they are incomplete, or were made with other settings.
    """
    if not (folder / MANIFEST).is_file():
        return None
    manifest = read_json(folder / MANIFEST)
    wanted = asdict(settings) | {
        "features": list(settings.features),
        "types": list(settings.types),
    }
    return str(manifest["catalogue"]) if manifest["settings"] == wanted else None


def changes(before: Table, after: Table, features: Sequence[str]) -> tuple[Table, Table]:
    """Return the rows that only the later catalogue has, and those that only the earlier one has.

    A changed item is among both, with its new values and with its old ones. Repeated rows are
    counted.
    """
    old, new = before.select(*features), after.select(*features)
    return new.difference(old, distinct=False), old.difference(new, distinct=False)

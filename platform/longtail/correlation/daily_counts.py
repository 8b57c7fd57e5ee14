"""Makes the pair counts of a day, from those of an earlier day if there are any."""

import logging
from datetime import date
from typing import Any

from ibis.expr.types import Table

from longtail.artifacts import RunPaths, replaced_folder
from longtail.config import Config
from longtail.correlation.engine import held
from longtail.correlation.pair_counts import CountSettings, PairCounts, changes, counted_from
from longtail.correlation.sample import sampled
from longtail.fingerprints import read_stamp, source_hash

log = logging.getLogger("longtail.correlation")

PAIR_COUNTS = "pair_counts"


def counts_of_day(
    config: Config, as_of: date, backend: Any, items: Table, features: list[str], halvings: int
) -> PairCounts:
    """Open `runs/<as_of>/pair_counts`, and make it first unless it is up to date.

    Args:
        config: the project; `home` and `correlation.missing` are read.
        as_of: a day that has a catalogue.
        backend: the ibis backend of `items`.
        items: the day's catalogue, or a sample of it.
        features: columns, the item key first.
        halvings: the number of times the catalogue was halved for `items`; see `sample.sampled`.
    """
    paths = RunPaths(config, as_of)
    settings = CountSettings(
        tuple(features),
        tuple(str(items[name].type()) for name in features),
        config.correlation.missing,
        halvings,
        source_hash("longtail.correlation.daily_counts"),
    )
    folder = paths.folder / PAIR_COUNTS
    catalogue = _fingerprint(paths)
    if counted_from(folder, settings) != catalogue:
        with replaced_folder(folder) as temporary:
            counts = PairCounts(temporary, features, features[0], backend)
            # Most items stay as they are, so adding a day's changes is cheaper than a full count.
            earlier = _earlier(config, as_of, settings)
            if earlier is None:
                counts.count(items, settings.missing)
                log.info("pairs of %s counted in full", as_of)
            else:
                before = backend.read_parquet(str(earlier.catalogue_files.items))
                stored = PairCounts(earlier.folder / PAIR_COUNTS, features, features[0], backend)
                added, removed = changes(sampled(before, features[0], halvings), items, features)
                counts.add(stored, held(added), held(removed), settings.missing)
                log.info(
                    "pairs of %s counted from the counts of %s and the changes since",
                    as_of,
                    earlier.folder.name,
                )
            counts.finish(settings, catalogue)
    return PairCounts(folder, features, features[0], backend)


def _earlier(config: Config, as_of: date, settings: CountSettings) -> RunPaths | None:
    """Return the newest earlier run with counts of these settings, made from its catalogue.

    None if there is none. The run's catalogue must be the one that was counted, because the
    changes since are found by comparing with it.
    """
    days = sorted((config.home / "runs").glob("????-??-??"), reverse=True)
    for folder in days:
        if folder.name >= as_of.isoformat():
            continue
        paths = RunPaths(config, date.fromisoformat(folder.name))
        counted = counted_from(folder / PAIR_COUNTS, settings)
        if counted is not None and counted == _fingerprint(paths):
            return paths
    return None


def _fingerprint(paths: RunPaths) -> str:
    """Return the fingerprint of a run's catalogue, empty if it has none."""
    stamp = read_stamp(paths.catalogue)
    return str(stamp["fingerprint"]) if stamp else ""

"""The stage between catalogue and training: correlations, and the masking plan made from them."""

import logging
import time
from datetime import date
from pathlib import Path
from typing import Any

from longtail.artifacts import (
    STAMP,
    RunPaths,
    fingerprint,
    is_current,
    read_json,
    replaced_folder,
    required_stamp,
    source_hash,
    write_json,
)
from longtail.config import Config
from longtail.correlation.associations import associations
from longtail.correlation.masking_plan import check_overrides, masking_plan
from longtail.correlation.mutual_information import Measure, correlation_matrix
from longtail.features.schema import Schema

log = logging.getLogger("longtail.correlation")

CORRELATIONS = "correlations.json"
HEAT_MAP = "heat_map.png"


def mine_correlations(
    config: Config, as_of: date, *, measure: Measure | None = None
) -> dict[str, Any]:
    """Measure how the item features of a day's catalogue correlate, and plan the masks.

    Writes `correlations.json` and `heat_map.png`, unless they stand there already, made from the
    same catalogue and settings.

    Args:
        config: reads the section `correlation`.
        as_of: the day whose catalogue is measured.
        measure: another measure than the configured one, to look at: its figures are returned,
            and nothing is written, since training follows the configuration.

    Returns:
        {"measure", "features": [name, ...], "matrix": [[float]], "plan": {seed: [masked, ...]},
        "associations": [{"features": [x, y], "near_unique", "value_pairs"}]}, see `associations`

    Raises:
        LongtailError: the day has no catalogue yet.
        InputError: `correlation.never_mask` or `always_together` asks for what cannot be done.
    """
    paths = RunPaths(config, as_of)
    catalogue = required_stamp(paths.catalogue, made_by="run")
    chosen = measure or config.correlation.measure
    if chosen != config.correlation.measure:
        return _mine(config, paths, chosen)
    stage = fingerprint(
        catalogue["fingerprint"],
        config.correlation.model_dump(mode="json"),
        source_hash("correlation"),
    )
    if is_current(paths.correlations, stage):
        log.info("feature correlations of %s are up to date", as_of)
        document: dict[str, Any] = read_json(paths.correlations / CORRELATIONS)
        return document
    document = _mine(config, paths, chosen)
    with replaced_folder(paths.correlations) as folder:
        _draw(document, folder / HEAT_MAP, as_of)
        write_json(folder / CORRELATIONS, document)
        write_json(folder / STAMP, {"fingerprint": stage, "as_of": as_of.isoformat()})
    return document


def _mine(config: Config, paths: RunPaths, measure: Measure) -> dict[str, Any]:
    import ibis

    start = time.monotonic()
    settings = config.correlation
    features = [feature.name for feature in _schema(paths).item]
    check_overrides(features, settings.never_mask, settings.always_together)  # before the work
    # A connection of its own: nothing of one call is left in the next one's memory.
    connection = ibis.duckdb.connect()
    try:
        items = connection.read_parquet(str(paths.catalogue / "items.parquet"))
        matrix = correlation_matrix(items, features, measure, settings.missing)
        pairs = associations(items, features, settings.missing)
    finally:
        connection.disconnect()
    plan = masking_plan(features, matrix, settings.never_mask, settings.always_together)
    log.info(
        "%s of %d feature pairs measured in %.1f s",
        measure.replace("_", " "),
        len(features) * (len(features) - 1) // 2,
        time.monotonic() - start,
    )
    return {
        "measure": measure,
        "features": features,
        "matrix": matrix.tolist(),
        "plan": plan,
        "associations": pairs,
    }


def _schema(paths: RunPaths) -> Schema:
    return Schema.from_json(read_json(paths.catalogue / "schema.json"))


def _draw(document: dict[str, Any], path: Path, as_of: date) -> None:
    import numpy as np

    from longtail.correlation.heat_map import heat_map, save_heat_map

    figure = heat_map(
        document["features"],
        np.array(document["matrix"]),
        document["plan"],
        measure=document["measure"],
        as_of=as_of.isoformat(),
    )
    save_heat_map(path, figure)

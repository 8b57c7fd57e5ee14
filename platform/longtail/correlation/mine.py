"""The stage that measures correlations of item features, and makes the masking plan from them."""

import logging
import time
from datetime import date
from pathlib import Path
from typing import Any

from longtail.artifacts import STAMP, RunPaths, read_json, replaced_folder, write_json
from longtail.augmentation.masking_plan import check_overrides, masking_plan
from longtail.config import Config
from longtail.correlation.associations import associations
from longtail.correlation.catalogue_correlations import measure_items, measured_items
from longtail.correlation.measures import Measure
from longtail.features.schema import Schema
from longtail.fingerprints import fingerprint, is_current, required_stamp, source_hash

log = logging.getLogger("longtail.correlation")

CORRELATIONS = "correlations.json"
HEAT_MAP = "heat_map.png"


def mine_correlations(
    config: Config, as_of: date, *, measure: Measure | None = None
) -> dict[str, Any]:
    """Measure how the item features of a day's catalogue correlate, and plan the masks.

    Write `correlations.json` and `heat_map.png`, unless they are there already, made from the same
    catalogue and settings.

    Args:
        config: the project; its section `correlation` is read.
        as_of: the day of the catalogue.
        measure: another measure than the configured one, for comparison. It is written to a folder
            of its own, since training follows the configuration.

    Returns:
        The contents of `correlations.json`:

        - `measure`, and `features`: [name, ...].
        - `matrix`: [[float]], `errors`: [[float]] or null, `sample_fraction` and `num_items`; see
          `catalogue_correlations.Figures`.
        - `plan`: {seed: [masked feature, ...]}, and `always_together`: [[name, ...]].
        - `associations`: [{"features": [x, y], "near_unique", "value_pairs"}]; see `associations`.

    Raises:
        LongtailError: the day has no catalogue yet.
        InputError: `correlation.never_mask` or `correlation.always_together` cannot be followed.
    """
    paths = RunPaths(config, as_of)
    catalogue = required_stamp(paths.catalogue, made_by="run")
    chosen = measure or config.correlation.measure
    place = paths.correlations_by(chosen)
    stage = fingerprint(
        catalogue["fingerprint"],
        {**config.correlation.model_dump(mode="json"), "measure": chosen},
        source_hash("longtail.correlation.mine"),
    )
    if is_current(place, stage):
        log.info("feature correlations of %s are up to date", as_of)
        document: dict[str, Any] = read_json(place / CORRELATIONS)
        return document
    document = _mine(config, as_of, chosen)
    with replaced_folder(place) as folder:
        _draw(document, folder / HEAT_MAP, as_of)
        write_json(folder / CORRELATIONS, document)
        write_json(folder / STAMP, {"fingerprint": stage, "as_of": as_of.isoformat()})
    return document


def _mine(config: Config, as_of: date, measure: Measure) -> dict[str, Any]:
    """Measure and plan, and return the contents of `correlations.json`."""
    start = time.monotonic()
    settings = config.correlation
    features = [feature.name for feature in _schema(RunPaths(config, as_of)).item]
    # Overrides that cannot be followed should fail now, and not after a long measurement.
    check_overrides(features, settings.never_mask, settings.always_together)
    with measured_items(config, as_of, features) as items:
        figures = measure_items(config, as_of, items, features, measure)
        pairs = associations(items.table, features, settings.missing, halvings=items.halvings)
    plan = masking_plan(features, figures.matrix, settings.never_mask, settings.always_together)
    log.info(
        "%d feature pairs measured (%s) in %.1f s",
        len(features) * (len(features) - 1) // 2,
        measure.replace("_", " "),
        time.monotonic() - start,
    )
    return {
        "measure": measure,
        "features": features,
        **figures.to_json(),
        "plan": plan.masks,
        "always_together": [list(group) for group in plan.always_together],
        "associations": pairs,
    }


def _schema(paths: RunPaths) -> Schema:
    return Schema.from_json(read_json(paths.catalogue_files.schema))


def _draw(document: dict[str, Any], path: Path, as_of: date) -> None:
    import numpy as np

    from longtail.correlation.heat_map import heat_map, save_heat_map

    figure = heat_map(
        document["features"],
        np.array(document["matrix"]),
        document["plan"],
        measure=document["measure"],
        as_of=as_of.isoformat(),
        sample_fraction=document["sample_fraction"],
    )
    save_heat_map(path, figure)

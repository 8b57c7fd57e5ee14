"""The stage that turns an approved version into embeddings of the whole catalogue."""

import logging
import time
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths, VersionPaths, read_json, replaced_file
from longtail.config import Config
from longtail.embeddings.embeddings_file import embeddings_schema, embeddings_size
from longtail.embeddings.results import ExportSummary
from longtail.embeddings.seen_items import are_made_from, write_seen_items
from longtail.encoder.score_vectors import calibrated, popularity_bias
from longtail.errors import LongtailError
from longtail.features.encoding import encode_table
from longtail.features.record_batches import record_batches
from longtail.features.vocabulary import load_vocabularies
from longtail.fingerprints import file_hash, fingerprint, required_stamp, source_hash

log = logging.getLogger("longtail.embeddings")

ROWS_AT_A_TIME = 65_536
NORM_TOLERANCE = 1e-4
_FINGERPRINT = b"longtail.fingerprint"


def approved_version(config: Config, as_of: date) -> str:
    """Return the version that the gate approved for a day.

    Raises:
        LongtailError: it approved none.
    """
    approved = RunPaths(config, as_of).approved
    if not approved.is_file():
        raise LongtailError(
            f"no version of {as_of} is approved ({approved} does not exist): run "
            f"`longtail run --as-of {as_of}`; if the gate refuses the version, it says why"
        )
    return str(read_json(approved)["version"])


def export_catalogue(config: Config, as_of: date) -> ExportSummary:
    """Encode every item of the day's catalogue with the approved version.

    Writes two files into the version's folder. `seen_items.parquet` holds what each query has
    interacted with. `item_embeddings.parquet`, written after it and sorted by `item_id`, has
    `item_id` string, `embedding` fixed_size_list<float32>[dim] of unit length, and `model_version`
    string. Where the evaluation has chosen a calibration, or the model has learned biases, there is
    also `bias` float32: what is added to the cosine of a query and the item. Nothing is written if
    both exist and were made from the same inputs, or if the version
    is committed.

    Args:
        config: the project.
        as_of: the day; its `approved.json` names the version.

    Returns:
        `{"version", "num_items", "embedding_dim"}`

    Raises:
        LongtailError: no version is approved, a vector is not finite or not of unit length, or the
            catalogue has an item twice. No embeddings are written then.
    """
    version = approved_version(config, as_of)
    paths = VersionPaths(config, version)
    run = RunPaths(config, as_of)
    calibration = chosen_calibration(paths)
    identity = fingerprint(
        file_hash(paths.encoder),
        required_stamp(run.catalogue, made_by="run")["fingerprint"],
        source_hash("longtail.embeddings.export"),
        # A version without a calibration keeps its identity.
        *([] if calibration is None else [list(calibration)]),
    )
    if paths.embeddings.is_file():
        made_from = pq.read_schema(paths.embeddings).metadata.get(_FINGERPRINT)
        same = made_from == identity.encode() and are_made_from(paths.seen_items, identity)
        if paths.committed or same:
            if paths.committed:
                _say_if_calibrated_otherwise(config, paths)
            log.info("embeddings of %s are up to date", version)
            return _summary(paths)
    start = time.monotonic()
    # The seen items come first: a file of embeddings then means that the whole export is there.
    if not paths.committed:
        interactions = run.catalogue_files.interactions
        write_seen_items(interactions, paths.seen_items, made_from=identity)
    with replaced_file(paths.embeddings) as temporary:
        _write_embeddings(paths, run, temporary, identity, calibration)
    summary = _summary(paths)
    log.info(
        "%d items x %d exported in %.1f s",
        summary["num_items"],
        summary["embedding_dim"],
        time.monotonic() - start,
    )
    return summary


class ChosenCalibration(NamedTuple):
    """The weight of log popularity in a version's scores, and the temperature of its logits."""

    beta: float
    temperature: float


def chosen_calibration(paths: VersionPaths) -> ChosenCalibration | None:
    """Return what the evaluation has chosen; None without a calibration, or of an older release."""
    metrics = read_json(paths.metrics) if paths.metrics.is_file() else {}
    found = metrics.get("calibration", {})
    if not found.get("beta"):
        return None
    return ChosenCalibration(found["beta"], found["temperature"])


def _say_if_calibrated_otherwise(config: Config, paths: VersionPaths) -> None:
    """Warn of a calibration that is set, and that a committed version does not follow."""
    wanted, chosen = config.calibration.popularity, chosen_calibration(paths)
    beta = chosen.beta if chosen else 0.0
    asked = 0.0 if wanted == "off" else wanted
    if asked not in ("fitted", beta):
        log.warning(
            "version %s is committed with the weight %g of popularity, and stays as it is: "
            "`calibration.popularity: %s` takes effect with the next version",
            paths.version,
            beta,
            wanted,
        )


def _write_embeddings(
    paths: VersionPaths,
    run: RunPaths,
    target: Path,
    identity: str,
    calibration: ChosenCalibration | None,
) -> None:
    from longtail.encoder.torch_encoder import load_encoder

    encoder = load_encoder(paths.folder)
    vocabularies = load_vocabularies(paths.vocabularies)
    features = encoder.schema.item
    key = encoder.schema.item_key
    # The next export reads the fingerprint from the file to see whether it has anything to do.
    has_bias = encoder.has_bias or calibration is not None
    schema = embeddings_schema(encoder.output_dim, has_bias=has_bias)
    schema = schema.with_metadata({_FINGERPRINT: identity.encode()})
    popularity = None
    if calibration is not None:
        count = _links_of_items(paths.seen_items, run.catalogue_files.items, key)
        popularity = popularity_bias(count, *calibration)
    last, num_written = None, 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        columns = [feature.name for feature in features]
        # Batch by batch, so that memory does not grow with the catalogue.
        for batch in record_batches(run.catalogue_files.items, ROWS_AT_A_TIME, columns):
            table = pa.Table.from_batches([batch])
            ids = table[key].cast(pa.string()).combine_chunks()
            last = _check_ascending(ids, last)
            scored = encoder.encode_scored("item", encode_table(table, features, vocabularies))
            if popularity is not None:
                added = popularity[num_written : num_written + len(ids)]
                scored = calibrated(scored, encoder.output_dim, added)
            num_written += len(ids)
            vectors = np.ascontiguousarray(scored[:, : encoder.output_dim])
            _check_vectors(vectors, ids)
            flat = pa.array(vectors.reshape(-1))
            embedding = pa.FixedSizeListArray.from_arrays(flat, encoder.output_dim)
            model_version = pa.repeat(pa.scalar(paths.version), len(ids))
            columns_of_batch = [ids, embedding, model_version]
            if has_bias:
                columns_of_batch.append(_checked_bias(scored[:, -1], ids))
            writer.write_table(pa.table(columns_of_batch, schema=schema))


def _links_of_items(seen_items: Path, items: Path, key: str) -> npt.NDArray[np.int64]:
    """Count the known links of each item of the catalogue: `[num_items]`, in its order."""
    linked = pq.read_table(seen_items, columns=["item_id"])["item_id"].combine_chunks()
    ids = pq.read_table(items, columns=[key])[key].cast(pa.string()).combine_chunks()
    row = pc.index_in(linked, value_set=ids).drop_null()
    return np.bincount(row.to_numpy(), minlength=len(ids))


def _checked_bias(bias: npt.NDArray[np.float32], ids: pa.Array) -> pa.Array:
    """Return the column of the biases; refuse one that is not finite.

    Raises:
        LongtailError: names the first.
    """
    wrong = np.flatnonzero(~np.isfinite(bias))
    if len(wrong):
        raise LongtailError(
            f"the bias of item {ids[int(wrong[0])].as_py()!r} is not finite: train again with "
            "lower learning rates"
        )
    return pa.array(np.ascontiguousarray(bias))


def _check_ascending(ids: pa.Array, last: pa.Scalar | None) -> pa.Scalar:
    """Refuse items that are not sorted, or that stand twice.

    Args:
        ids: the items of a batch.
        last: the last item of the batch before, because a pair may stand in two batches.

    Returns:
        The last item of this batch.

    Raises:
        LongtailError: names the first pair of items in the wrong order, or equal.
    """
    keys = ids if last is None else pa.concat_arrays([pa.array([last]), ids])
    ascending = pc.less(keys[:-1], keys[1:])
    if not pc.all(ascending, min_count=0).as_py():
        wrong = pc.index(ascending, False).as_py()
        raise LongtailError(
            f"the catalogue is not sorted by item, or has an item twice ({keys[wrong].as_py()!r}, "
            f"then {keys[wrong + 1].as_py()!r}): delete the day's `catalogue` folder and run again"
        )
    return keys[-1]


def _check_vectors(vectors: npt.NDArray[np.float32], ids: pa.Array) -> None:
    """Refuse vectors that are not finite or not of unit length.

    Raises:
        LongtailError: counts them, and names the first.
    """
    norms = np.linalg.norm(vectors, axis=1)
    # A comparison with NaN is false, so this finds vectors that are not finite, too.
    wrong = np.flatnonzero(~(np.abs(norms - 1.0) <= NORM_TOLERANCE))
    if len(wrong):
        raise LongtailError(
            f"{len(wrong)} of {len(ids)} vectors are not finite unit vectors; the first is that of "
            f"item {ids[int(wrong[0])].as_py()!r} (length {norms[wrong[0]]}): train again"
        )


def _summary(paths: VersionPaths) -> ExportSummary:
    size = embeddings_size(paths.embeddings)
    return {
        "version": paths.version,
        "num_items": size.num_items,
        "embedding_dim": size.embedding_dim,
    }

"""The stage that turns an approved version into embeddings of the whole catalogue."""

import logging
import time
from datetime import date
from pathlib import Path

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
    string. Nothing is written if both exist and were made from the same inputs, or if the version
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
    identity = fingerprint(
        file_hash(paths.encoder),
        required_stamp(run.catalogue, made_by="run")["fingerprint"],
        source_hash("longtail.embeddings.export"),
    )
    if paths.embeddings.is_file():
        made_from = pq.read_schema(paths.embeddings).metadata.get(_FINGERPRINT)
        same = made_from == identity.encode() and are_made_from(paths.seen_items, identity)
        if paths.committed or same:
            log.info("embeddings of %s are up to date", version)
            return _summary(paths)
    start = time.monotonic()
    # The seen items come first: a file of embeddings then means that the whole export is there.
    if not paths.committed:
        interactions = run.catalogue_files.interactions
        write_seen_items(interactions, paths.seen_items, made_from=identity)
    with replaced_file(paths.embeddings) as temporary:
        _write_embeddings(paths, run, temporary, identity)
    summary = _summary(paths)
    log.info(
        "%d items x %d exported in %.1f s",
        summary["num_items"],
        summary["embedding_dim"],
        time.monotonic() - start,
    )
    return summary


def _write_embeddings(paths: VersionPaths, run: RunPaths, target: Path, identity: str) -> None:
    from longtail.encoder.torch_encoder import load_encoder

    encoder = load_encoder(paths.folder)
    vocabularies = load_vocabularies(paths.vocabularies)
    features = encoder.schema.item
    key = encoder.schema.item_key
    # The next export reads the fingerprint from the file to see whether it has anything to do.
    schema = embeddings_schema(encoder.output_dim).with_metadata({_FINGERPRINT: identity.encode()})
    last = None
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        columns = [feature.name for feature in features]
        # Batch by batch, so that memory does not grow with the catalogue.
        for batch in record_batches(run.catalogue_files.items, ROWS_AT_A_TIME, columns):
            table = pa.Table.from_batches([batch])
            ids = table[key].cast(pa.string()).combine_chunks()
            last = _check_ascending(ids, last)
            vectors = encoder.encode("item", encode_table(table, features, vocabularies))
            _check_vectors(vectors, ids)
            flat = pa.array(vectors.reshape(-1))
            embedding = pa.FixedSizeListArray.from_arrays(flat, encoder.output_dim)
            model_version = pa.repeat(pa.scalar(paths.version), len(ids))
            writer.write_table(pa.table([ids, embedding, model_version], schema=schema))


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

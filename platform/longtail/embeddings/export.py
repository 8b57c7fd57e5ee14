"""The stage that turns an approved version into embeddings of the whole catalogue."""

import logging
import time
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths, VersionPaths, read_json, replaced_file
from longtail.config import Config
from longtail.embeddings.seen_items import write_seen_items
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
    """The version that the gate let pass for a day.

    Raises:
        LongtailError: none did.
    """
    approved = RunPaths(config, as_of).approved
    if not approved.is_file():
        raise LongtailError(
            f"no version of {as_of} is approved ({approved} does not exist): run "
            f"`longtail run --as-of {as_of}`; where the gate refuses, it says why"
        )
    return str(read_json(approved)["version"])


def export_catalogue(config: Config, as_of: date) -> dict[str, Any]:
    """Encode every item of the day's catalogue with the approved version.

    Writes `item_embeddings.parquet`, sorted by `item_id`: `item_id` string, `embedding`
    fixed_size_list<float32>[dim] of unit length, `model_version` string. Before it, writes
    `seen_items.parquet`: what each query has interacted with. Neither is written again where both
    stand there already, made from the same, and never in a committed version.

    Args:
        config: the project.
        as_of: the day; its `approved.json` names the version.

    Returns:
        `{"version", "num_items", "embedding_dim"}`

    Raises:
        LongtailError: no version is approved, a vector is not finite or not of unit length, or the
            catalogue has an item twice. Nothing is written then.
    """
    version = approved_version(config, as_of)
    paths = VersionPaths(config, version)
    run = RunPaths(config, as_of)
    identity = fingerprint(
        file_hash(paths.encoder),
        required_stamp(run.catalogue, made_by="run")["fingerprint"],
        source_hash("longtail.embeddings.export"),
    )
    if paths.embeddings.is_file() and (paths.committed or paths.seen_items.is_file()):
        schema = pq.read_schema(paths.embeddings)
        if paths.committed or schema.metadata.get(_FINGERPRINT) == identity.encode():
            log.info("embeddings of %s are up to date", version)
            return _summary(paths)
    start = time.monotonic()
    # First, since the embeddings say that all of the export is there.
    write_seen_items(run.catalogue_files.interactions, paths.seen_items)
    with replaced_file(paths.embeddings) as temporary:
        _write(paths, run, temporary, identity)
    summary = _summary(paths)
    log.info(
        "%d items x %d exported in %.1f s",
        summary["num_items"],
        summary["embedding_dim"],
        time.monotonic() - start,
    )
    return summary


def _write(paths: VersionPaths, run: RunPaths, target: Any, identity: str) -> None:
    from longtail.encoder.torch_encoder import load_encoder

    encoder = load_encoder(paths.folder)
    vocabularies = load_vocabularies(paths.vocabularies)
    features = encoder.schema.item
    key = encoder.schema.item_key
    schema = pa.schema(
        [
            pa.field("item_id", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), encoder.output_dim), nullable=False),
            pa.field("model_version", pa.string(), nullable=False),
        ],
        metadata={_FINGERPRINT: identity.encode()},
    )
    last = None
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        columns = [feature.name for feature in features]
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
    """One row an item: sorted, so equal keys would stand side by side, over batches too."""
    keys = ids if last is None else pa.concat_arrays([pa.array([last]), ids])
    ascending = pc.less(keys[:-1], keys[1:])
    if not pc.all(ascending, min_count=0).as_py():
        wrong = pc.index(ascending, False).as_py()
        raise LongtailError(
            f"the catalogue is not sorted by item, or has one twice ({keys[wrong].as_py()!r}, then "
            f"{keys[wrong + 1].as_py()!r}): delete the day's `catalogue` folder and run again"
        )
    return keys[-1]


def _check_vectors(vectors: npt.NDArray[np.float32], ids: pa.Array) -> None:
    norms = np.linalg.norm(vectors, axis=1)
    # A comparison with NaN is false: what is not finite is not of unit length either.
    wrong = np.flatnonzero(~(np.abs(norms - 1.0) <= NORM_TOLERANCE))
    if len(wrong):
        raise LongtailError(
            f"{len(wrong)} of {len(ids)} vectors are not finite unit vectors, the first that of "
            f"item {ids[int(wrong[0])].as_py()!r} (length {norms[wrong[0]]}): train again"
        )


def _summary(paths: VersionPaths) -> dict[str, Any]:
    with pq.ParquetFile(paths.embeddings) as file:
        return {
            "version": paths.version,
            "num_items": file.metadata.num_rows,
            "embedding_dim": file.schema_arrow.field("embedding").type.list_size,
        }

"""Model versions: immutable folders, committed by a manifest with the hash of every file."""

import logging
import shutil
import time
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from longtail.artifacts import (
    MANIFEST,
    STAMP,
    RunPaths,
    VersionPaths,
    gate_reference,
    parse_version_day,
    read_json,
    write_json,
)
from longtail.config import Config
from longtail.embeddings.embeddings_file import embeddings_size, has_bias_column
from longtail.embeddings.published_pointer import read_pointer
from longtail.embeddings.results import IndexRecord, Manifest, VersionEntry, VersionState
from longtail.errors import InputError, LongtailError
from longtail.fingerprints import file_hash, fingerprint

log = logging.getLogger("longtail.embeddings")

UNFINISHED_SECONDS = 24 * 3600
"""An incomplete version counts as abandoned if none of its files changed for this long."""


def commit_version(config: Config, version: str, *, index: IndexRecord | None = None) -> Manifest:
    """Commit a finished version: hash its files, and write the manifest last.

    A version that is already committed is verified instead, and stays as it is.

    Args:
        config: the project.
        version: the version's name.
        index: the manifest's entry about the index: its kind, settings and recall.

    Returns:
        The manifest.

    Raises:
        LongtailError: the folder, its embeddings, its seen items, or the training's record are
            missing.
    """
    paths = VersionPaths(config, version)
    if paths.committed:
        return verify_version(config, version)
    # Everything that the manifest needs is read before it is written: a missing file leaves the
    # version uncommitted.
    as_of = parse_version_day(version)
    training = read_json(paths.training)
    own_config = read_json(paths.config)
    embeddings = embeddings_size(paths.embeddings)
    biased = has_bias_column(paths.embeddings)
    if not paths.seen_items.is_file():
        raise LongtailError(f"{paths.seen_items} does not exist: run `longtail export` first")
    catalogue = read_json(RunPaths(config, as_of).catalogue / STAMP)
    manifest: Manifest = {
        "version": version,
        "as_of": as_of.isoformat(),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "embedding_dim": embeddings.embedding_dim,
        "num_items": embeddings.num_items,
        "num_queries": catalogue["num_queries"],
        "schema_fingerprint": fingerprint(read_json(paths.schema)),
        "split": own_config["dataset"],
        "seed": own_config["training"]["seed"],
        "parent": training.get("parent"),
        "score": "cosine_plus_bias" if biased else "cosine",
        "index": index,
        "files": {name: file_hash(paths.folder / name) for name in _files(paths.folder)},
    }
    if biased and (beta := _calibrated_by(paths)):
        manifest["beta"] = beta
    write_json(paths.manifest, manifest)
    log.info(
        "version %s committed: %d items x %d, %d files",
        version,
        manifest["num_items"],
        manifest["embedding_dim"],
        len(manifest["files"]),
    )
    return manifest


def verify_version(
    config: Config, version: str, *, files: Collection[str] | None = None
) -> Manifest:
    """Compare a committed version's files with the hashes in its manifest.

    Args:
        config: the project.
        version: the version's name.
        files: paths relative to the version's folder; None for all that the manifest lists.

    Returns:
        The manifest.

    Raises:
        InputError: there is no such version.
        LongtailError: it is not committed, or a file is missing, altered, or not in the manifest.
    """
    manifest = read_manifest(config, version)
    folder = VersionPaths(config, version).folder
    for name in sorted(manifest["files"] if files is None else files):
        expected = manifest["files"].get(name)
        if expected is None:
            raise LongtailError(f"version {version}: {name} is not in its manifest")
        if not (folder / name).is_file():
            raise LongtailError(
                f"version {version}: {folder / name} is missing: restore it, or remove the folder"
            )
        if file_hash(folder / name) != expected:
            raise LongtailError(
                f"version {version}: {folder / name} is not the file that was committed (its hash "
                "differs from the manifest's): restore it, or remove the folder and run again"
            )
    return manifest


def read_manifest(config: Config, version: str) -> Manifest:
    """Read the manifest of a committed version.

    Raises:
        InputError: there is no such version.
        LongtailError: it has no manifest, or one of another version.
    """
    paths = VersionPaths(config, version)
    # A name such as `../versions/x` would lead to a folder that is no version.
    if Path(version).name != version or not paths.folder.is_dir():
        known = ", ".join(entry["version"] for entry in list_versions(config)) or "none"
        raise InputError(f"there is no version {version!r}: versions on disk: {known}")
    if not paths.committed:
        raise LongtailError(
            f"version {version} is not committed ({paths.manifest} is missing): "
            "run `longtail export` to finish it"
        )
    manifest: Manifest = read_json(paths.manifest)
    if manifest.get("version") != version:
        raise LongtailError(
            f"{paths.manifest} belongs to version {manifest.get('version')!r}: restore the folder"
        )
    return manifest


def list_versions(config: Config) -> list[VersionEntry]:
    """List all versions on disk, newest first.

    Returns:
        `{"version", "as_of", "state", "created_at", "num_items"}` for each. The state is `served`,
        `previous`, `kept` or `incomplete`; an incomplete version has None in the last two keys.
    """
    pointer = read_pointer(config)
    served = pointer.served.version if pointer else None
    previous = pointer.previous.version if pointer and pointer.previous else None
    versions: list[VersionEntry] = []
    for name in _version_names(config):
        paths = VersionPaths(config, name)
        manifest: Manifest | None = read_json(paths.manifest) if paths.committed else None
        state: VersionState = "kept"
        if not manifest:
            state = "incomplete"
        elif name == previous:
            state = "previous"
        elif name == served:
            state = "served"
        versions.append(
            {
                "version": name,
                "as_of": parse_version_day(name).isoformat(),
                "state": state,
                "created_at": manifest.get("created_at") if manifest else None,
                "num_items": manifest.get("num_items") if manifest else None,
            }
        )
    versions.sort(key=lambda entry: (entry["as_of"], entry["created_at"] or ""), reverse=True)
    return versions


def retain_versions(config: Config) -> list[str]:
    """Remove old versions: the newest `publication.keep_versions` committed ones stay.

    The served and the previous version always stay, and so does the gate's reference. An
    incomplete version is removed if it is older than every one of those newest, and none of its
    files changed for a day.

    Returns:
        The names of the removed versions.
    """
    versions = list_versions(config)
    committed = [entry for entry in versions if entry["state"] != "incomplete"]
    kept = committed[: config.publication.keep_versions]
    oldest = min((entry["as_of"] for entry in kept), default="")
    fixed = gate_reference(config)
    reference = read_json(fixed)["version"] if fixed.is_file() else None
    removed = [
        entry["version"]
        for entry in committed[config.publication.keep_versions :]
        if entry["state"] == "kept" and entry["version"] != reference
    ] + [
        entry["version"]
        for entry in versions
        if entry["state"] == "incomplete"
        and entry["as_of"] < oldest
        and _seconds_since_written(VersionPaths(config, entry["version"]).folder)
        > UNFINISHED_SECONDS
    ]
    for version in removed:
        paths = VersionPaths(config, version)
        # Without its manifest it is no version any more, even if the removal is interrupted.
        paths.manifest.unlink(missing_ok=True)
        shutil.rmtree(paths.folder)
        log.info("version %s removed: %d newer ones are kept", version, len(kept))
    return removed


def has_bias(manifest: Manifest) -> bool:
    """Return whether a version's scores are a cosine and a bias."""
    return manifest.get("score") == "cosine_plus_bias"


def _calibrated_by(paths: VersionPaths) -> float:
    """Return the weight of popularity that the version's evaluation has chosen."""
    metrics = read_json(paths.metrics) if paths.metrics.is_file() else {}
    return float(metrics.get("calibration", {}).get("beta", 0.0))


def _version_names(config: Config) -> list[str]:
    """Return the names of the folders that hold a version; they begin with a day."""
    root = config.home / "versions"
    if not root.is_dir():
        return []
    return [entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[:1].isdigit()]


def _files(folder: Path) -> list[str]:
    """Return the files that the manifest covers, by path relative to the folder."""
    return sorted(
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and file.name != MANIFEST and not file.name.endswith(".tmp")
    )


def _seconds_since_written(folder: Path) -> float:
    times = [folder.stat().st_mtime, *(file.stat().st_mtime for file in folder.rglob("*"))]
    return time.time() - max(times)

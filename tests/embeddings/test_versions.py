"""Versions on disk: committed by their manifest, verified by its hashes, removed by count."""

import hashlib
import os
import shutil
import time

import pytest

from longtail.artifacts import VersionPaths, read_json
from longtail.config import PublicationConfig
from longtail.embeddings.published_pointer import Pointer, Publication, write_pointer
from longtail.embeddings.versions import (
    commit_version,
    list_versions,
    retain_versions,
    verify_version,
)
from longtail.errors import InputError, LongtailError
from longtail.evaluation.reference import reference_version, set_reference
from tests.publications import DAYS, DIM, Published

FIRST, SECOND, THIRD, FOURTH = DAYS


def serve(project: Published, served: str, previous: str) -> None:
    """Write the pointer that a publication would leave."""
    now, before = (
        Publication(version, "2024-01-01", "2024-01-01T00:00:00+00:00", 60, slot)
        for version, slot in ((served, "c"), (previous, "b"))
    )
    write_pointer(project.config, Pointer(now, before))


def states(project: Published) -> dict[str, str]:
    return {entry["version"]: entry["state"] for entry in list_versions(project.config)}


def test_the_manifest_describes_the_version(project: Published) -> None:
    version = project.versions[FIRST]
    paths = VersionPaths(project.config, version)
    manifest = read_json(paths.manifest)
    assert (manifest["version"], manifest["as_of"]) == (version, "2024-01-10")
    assert (manifest["embedding_dim"], manifest["num_items"], manifest["num_queries"]) == (
        *(DIM, 60, 60),
    )
    assert manifest["seed"] == 0
    assert manifest["parent"] is None
    assert manifest["split"]["split"] == "hash"
    on_disk = {
        file.relative_to(paths.folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in paths.folder.rglob("*")
        if file.is_file() and file != paths.manifest
    }
    assert manifest["files"] == on_disk
    assert {"items.faiss", "item_embeddings.parquet", "encoder.safetensors"} < set(on_disk)
    assert verify_version(project.config, version) == manifest
    # A second commit only verifies.
    assert commit_version(project.config, version) == manifest


def test_every_altered_file_is_found(project: Published) -> None:
    version = project.versions[FIRST]
    paths = VersionPaths(project.config, version)
    for name in read_json(paths.manifest)["files"]:
        file = paths.folder / name
        content = file.read_bytes()
        file.write_bytes(content + b" ")
        with pytest.raises(LongtailError, match=f"{name} is not the file that was committed"):
            verify_version(project.config, version)
        file.unlink()
        with pytest.raises(LongtailError, match=f"{name} is missing"):
            commit_version(project.config, version)
        file.write_bytes(content)
    with pytest.raises(LongtailError, match=r"other\.txt is not in its manifest"):
        verify_version(project.config, version, files=["other.txt"])


def test_what_is_no_version(project: Published) -> None:
    with pytest.raises(InputError, match=f"versions on disk: {project.versions[FOURTH]}, "):
        verify_version(project.config, "20200101-00000000")
    with pytest.raises(InputError, match="there is no version"):
        verify_version(project.config, f"../versions/{project.versions[FIRST]}")
    first = VersionPaths(project.config, project.versions[FIRST])
    shutil.copy(VersionPaths(project.config, project.versions[SECOND]).manifest, first.manifest)
    with pytest.raises(LongtailError, match=f"belongs to version '{project.versions[SECOND]}'"):
        verify_version(project.config, project.versions[FIRST])


def test_a_version_without_embeddings_is_not_committed(project: Published) -> None:
    paths = VersionPaths(project.config, project.versions[FIRST])
    paths.manifest.unlink()
    paths.embeddings.unlink()
    with pytest.raises(LongtailError, match="run `longtail export` first"):
        commit_version(project.config, project.versions[FIRST])
    assert not paths.committed


def test_versions_are_listed_newest_first_with_their_state(project: Published) -> None:
    serve(project, project.versions[SECOND], project.versions[FOURTH])
    VersionPaths(project.config, project.versions[FIRST]).manifest.unlink()
    assert [
        (entry["version"], entry["as_of"], entry["state"], entry["num_items"])
        for entry in list_versions(project.config)
    ] == [
        (project.versions[FOURTH], "2024-04-10", "previous", 60),
        (project.versions[THIRD], "2024-03-10", "kept", 60),
        (project.versions[SECOND], "2024-02-10", "served", 60),
        (project.versions[FIRST], "2024-01-10", "incomplete", None),
    ]


def test_retention_keeps_the_newest_and_what_is_served(project: Published) -> None:
    config = project.config.model_copy(update={"publication": PublicationConfig(keep_versions=2)})
    assert retain_versions(project.config) == []
    serve(project, project.versions[FIRST], project.versions[FOURTH])
    assert retain_versions(config) == [project.versions[SECOND]]
    assert states(project) == {
        project.versions[FOURTH]: "previous",
        project.versions[THIRD]: "kept",
        project.versions[FIRST]: "served",
    }
    assert retain_versions(config) == []


def test_the_reference_of_the_gate_is_kept(project: Published) -> None:
    serve(project, project.versions[FOURTH], project.versions[THIRD])
    config = project.config.model_copy(update={"publication": PublicationConfig(keep_versions=2)})
    set_reference(config, project.versions[FIRST])
    assert retain_versions(config) == [project.versions[SECOND]]
    assert reference_version(config) == project.versions[FIRST]


def test_an_abandoned_version_goes_and_one_in_the_making_stays(project: Published) -> None:
    serve(project, project.versions[FOURTH], project.versions[THIRD])
    config = project.config.model_copy(update={"publication": PublicationConfig(keep_versions=2)})
    for day in (FIRST, SECOND):
        VersionPaths(config, project.versions[day]).manifest.unlink()
    two_days_ago = time.time() - 2 * 24 * 3600
    abandoned = VersionPaths(config, project.versions[FIRST]).folder
    for file in (abandoned, *abandoned.rglob("*")):
        os.utime(file, (two_days_ago, two_days_ago))
    assert retain_versions(config) == [project.versions[FIRST]]
    assert states(project)[project.versions[SECOND]] == "incomplete"

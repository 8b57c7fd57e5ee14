"""A publisher that is killed (SIGKILL) at each of its steps, in a process of its own."""

import logging
import multiprocessing
import os
import signal
from datetime import date

import numpy as np
import pytest

from longtail.config import Config
from longtail.embeddings.pointer import read_pointer
from longtail.embeddings.publish import publish, status
from longtail.features.definitions import open_store
from longtail.serving.client import EmbeddingClient
from tests.publications import DAYS, Published

FIRST, SECOND, THIRD, _ = DAYS
# What the publisher says at the end of each step, in this order.
BEFORE_COMMIT = [
    pytest.param("are valid", marks=pytest.mark.slow),
    pytest.param("slot c: emptied", marks=pytest.mark.slow),
    "wrote 50 of 60",
    pytest.param("read back 60 rows", marks=pytest.mark.slow),
]
AFTER_COMMIT = ["is committed", pytest.param("slot b -> slot c", marks=pytest.mark.slow)]
# Imported once, in the process that every publisher is forked from.
PRELOADED = [
    "feast",
    "feast.repo_operations",
    "longtail.features.online",
    "longtail.embeddings.publish",
]


class _Killer(logging.Handler):
    def __init__(self, line: str) -> None:
        super().__init__()
        self.line = line

    def emit(self, record: logging.LogRecord) -> None:
        if self.line in record.getMessage():
            os.kill(os.getpid(), signal.SIGKILL)


def publish_and_die(config: Config, as_of: date, line: str) -> None:
    """Run a real publication, and die as soon as it has said `line`."""
    log = logging.getLogger("longtail")
    log.setLevel(logging.INFO)
    log.addHandler(_Killer(line))
    publish(config, as_of)


def kill_publisher(config: Config, as_of: date, line: str) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    child = context.Process(target=publish_and_die, args=(config, as_of, line))
    child.start()
    child.join(timeout=60)
    assert child.exitcode == -signal.SIGKILL


def assert_whole(project: Published, day: date) -> None:
    """Client and plain Feast return the day's vectors, all of them."""
    expected = project.vectors(day)
    answer = EmbeddingClient(project.config).lookup(list(expected))
    assert answer["version"] == project.versions[day]
    store = open_store(project.config)
    plain = store.get_online_features(
        features=store.get_feature_service("item_embeddings"),
        entity_rows=[{"item_id": item} for item in expected],
    ).to_dict()
    for row, (item, vector) in enumerate(expected.items()):
        for found in (answer["embeddings"][item], plain["embedding"][row]):
            np.testing.assert_array_equal(np.array(found, np.float32), vector)


@pytest.mark.parametrize("line", BEFORE_COMMIT)
def test_before_the_commit_the_old_version_stays(project: Published, line: str) -> None:
    publish(project.config, FIRST)
    kill_publisher(project.config, SECOND, line)
    assert_whole(project, FIRST)
    assert publish(project.config, SECOND)["slot"] == "c"
    assert_whole(project, SECOND)


@pytest.mark.parametrize("line", AFTER_COMMIT)
def test_after_the_commit_the_next_command_finishes(project: Published, line: str) -> None:
    publish(project.config, FIRST)
    kill_publisher(project.config, SECOND, line)
    crashed = read_pointer(project.config)
    assert crashed is not None
    assert (crashed.served.version, crashed.leaving) == (project.versions[SECOND], "b")
    assert status(project.config)["version"] == project.versions[SECOND]
    settled = read_pointer(project.config)
    assert settled is not None
    assert settled.leaving is None
    assert settled.slots["b"].served_until is not None
    assert_whole(project, SECOND)
    assert publish(project.config, THIRD)["published"]
    assert_whole(project, THIRD)


@pytest.mark.slow
def test_the_first_publication_may_die_too(project: Published) -> None:
    """Its half-written slot is none that the service has ever named."""
    kill_publisher(project.config, FIRST, "wrote 50 of 60")
    assert status(project.config) == {"version": None}
    store = open_store(project.config)
    plain = store.get_online_features(
        features=store.get_feature_service("item_embeddings"),
        entity_rows=[{"item_id": item} for item in project.vectors(FIRST)],
    ).to_dict()
    assert set(plain["embedding"]) == {None}
    assert publish(project.config, FIRST)["published"]
    assert_whole(project, FIRST)


@pytest.mark.slow
def test_a_slot_that_was_being_emptied_is_never_rolled_back_to(project: Published) -> None:
    """Its record goes before its rows do."""
    for day in (FIRST, SECOND, THIRD):
        publish(project.config, day)
    before = read_pointer(project.config)
    assert before is not None
    assert before.slot_of(project.versions[FIRST]) == "b"
    kill_publisher(project.config, DAYS[3], "slot b: emptied")
    after = read_pointer(project.config)
    assert after is not None
    assert after.slot_of(project.versions[FIRST]) is None
    assert_whole(project, THIRD)

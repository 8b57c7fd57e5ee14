"""Publishers are killed (SIGKILL) at each step and at any moment, while other processes read.

The readers of tests/drills.py compare each of their reads with the files: all keys, all values, of
one version. These tests check which version that was, and that the next publication succeeds.
"""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
import yaml

from longtail.embeddings.publish import publish, status
from longtail.embeddings.published_pointer import Pointer, read_pointer
from longtail.embeddings.step_names import Step
from longtail.features.feast.definitions import open_store
from longtail.features.feast.embedding_slots import OnlineStore
from tests.drills import (
    Readers,
    kill_after,
    kill_publisher,
    reading,
    run_publisher,
    start_publisher,
    wait_until_stopped,
)
from tests.integration.conftest import child_environment
from tests.publications import DAYS, Published, make_version

FIRST, SECOND, THIRD, FOURTH = DAYS
AFTER_COMMIT = (Step.POINT_SERVICE, Step.RECORD_LEFT, Step.RETAIN_VERSIONS)
NUM_RANDOM = 15
COMMAND_SECONDS = 600.0
"""Limit for one command, imports included, on a busy machine."""

FLIP = (Step.RESTORE_SLOTS, Step.VALIDATE, Step.COMMIT, Step.POINT_SERVICE, Step.RECORD_LEFT)


@dataclass
class Drill:
    """A project in which publications are interrupted.

    Attributes:
        project: the project.
        served: every version that was served, in order.
        drawn: how many versions were made so far.
    """

    project: Published
    served: list[str | None] = field(default_factory=list)
    drawn: int = 0

    def draw(self) -> str:
        """Make and approve a version of the second day; it shares no value with another version."""
        self.drawn += 1
        return make_version(self.project.config, SECOND, f"{100 + self.drawn:08x}")

    def keep_everything(self) -> None:
        """Let no publication remove a version, so that each can be rolled back to."""
        kept = self.project.config.publication.model_copy(update={"keep_versions": 1000})
        config = self.project.config.model_copy(update={"publication": kept})
        self.project = Published(config, self.project.versions)

    def pointer(self) -> Pointer:
        found = read_pointer(self.project.config)
        assert found is not None
        return found

    def publish(self, readers: Readers | None = None) -> None:
        """Publish a new version to the end, and let every reader read it."""
        version = self.draw()
        run_publisher(self.project.config, SECOND)
        assert self.pointer().served.version == version
        self.served.append(version)
        if readers is not None:
            readers.wait()

    def check(self, readers: Readers) -> None:
        """Check that the readers read every served version, in order, and no other.

        A reader with a cached registry may miss some of them.
        """
        assert readers.seen["client"] == self.served
        assert readers.seen["feast"] == self.served
        late = iter(self.served)
        assert all(version in late for version in readers.seen["feast_cached"])


@pytest.fixture
def drill(project: Published) -> Drill:
    """A project with the first two days published."""
    for day in (FIRST, SECOND):
        publish(project.config, day)
    return Drill(project, [project.versions[SECOND]])


def kill_at(drill: Drill, step: str, readers: Readers, *, back_to: str | None = None) -> None:
    """Kill a publication, or a rollback, at a step; the next publication must succeed."""
    version = back_to or drill.draw()
    kill_publisher(drill.project.config, back_to or SECOND, step)
    readers.wait()
    if step in AFTER_COMMIT:
        drill.served.append(version)
    assert drill.pointer().served.version == drill.served[-1]
    drill.publish(readers)


def test_no_value_of_a_version_is_another_s(project: Published) -> None:
    """A vector made of two versions is therefore found by its values."""
    known = [project.vectors(day) for day in DAYS]
    for item in set.intersection(*(set(vectors) for vectors in known)):
        values = np.stack([vectors[item] for vectors in known])
        for column in values.T:
            assert len(set(column.tolist())) == len(DAYS)


def test_emptying_a_slot_leaves_the_registry_alone(project: Published) -> None:
    """A consumer that read the registry meanwhile must know the slot when it is served."""

    def applied() -> dict[str, object]:
        views = open_store(project.config).list_feature_views()
        return {view.name: view.last_updated_timestamp for view in views}

    before = applied()
    OnlineStore(project.config).empty_slot("c")
    assert applied() == before
    assert "item_embeddings_c" in before


def test_killed_before_and_after_the_commit(drill: Drill) -> None:
    with reading(drill.project.config) as readers:
        kill_at(drill, "wrote 50 of 60", readers)
        kill_at(drill, Step.POINT_SERVICE, readers)
    drill.check(readers)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_every_step(drill: Drill) -> None:
    with reading(drill.project.config) as readers:
        for step in (*Step, "are valid", "emptied", "wrote 25 of 60", "wrote 60 of 60"):
            kill_at(drill, step, readers)
    drill.check(readers)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_any_moment(drill: Drill) -> None:
    config, chance = drill.project.config, random.Random()
    with reading(config) as readers:
        drill.draw()
        longest = run_publisher(config, SECOND)
        drill.served.append(drill.pointer().served.version)
        readers.wait()
        for _ in range(NUM_RANDOM):
            version, seconds = drill.draw(), chance.uniform(0, longest)
            kill_after(config, SECOND, seconds)
            readers.wait()
            found = drill.pointer().served.version
            assert found in (version, drill.served[-1]), f"killed after {seconds:.3f} s"
            if found == version:
                drill.served.append(version)
            drill.publish(readers)
    drill.check(readers)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_during_rollback(drill: Drill) -> None:
    """A rollback to the version before is a flip; one to an older version writes it again."""
    drill.keep_everything()
    with reading(drill.project.config) as readers:
        for _ in range(3):
            drill.publish(readers)
        for step in FLIP:
            kill_at(drill, step, readers, back_to=drill.served[-2])
        for step in (Step.FORGET_SLOT, Step.EMPTY_SLOT, "wrote 50 of 60", *FLIP[2:4]):
            held = {slot.version for slot in drill.pointer().slots.values()}
            back_to = next(version for version in reversed(drill.served) if version not in held)
            kill_at(drill, step, readers, back_to=back_to)
    drill.check(readers)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_during_the_very_first_publication(project: Published) -> None:
    """Nothing is served until the commit, and every attempt starts from the beginning."""
    config, steps = project.config, list(Step)
    with reading(config) as readers:
        for step in steps[: steps.index(Step.POINT_SERVICE)]:
            kill_publisher(config, FIRST, step)
            readers.wait()
            assert status(config) == {"version": None}
        kill_publisher(config, FIRST, Step.POINT_SERVICE)
        readers.wait()
        assert status(config)["version"] == project.versions[FIRST]
        run_publisher(config, SECOND)
        readers.wait()
    served = [None, project.versions[FIRST], project.versions[SECOND]]
    assert readers.seen["client"] == readers.seen["feast"] == served


@contextmanager
def command(project: Published, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a real `longtail` command on the project; end it with the block."""
    file = project.config.home.parent / "longtail.yaml"
    file.write_text(yaml.safe_dump(project.config.model_dump(mode="json")), "utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "longtail.cli", *arguments, f"--config={file}"],
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def roll_back(project: Published, version: str) -> None:
    """Roll back by the real command."""
    with command(project, "rollback", version, "--json") as process:
        document, errors = process.communicate(timeout=COMMAND_SECONDS)
    assert process.returncode == 0, errors
    assert json.loads(document)["version"] == version


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_second_publisher_is_refused_and_a_killed_one_leaves_no_lock(drill: Drill) -> None:
    """The first one is stopped (SIGSTOP) with its slot half written, and killed later."""
    project, first = drill.project, drill.project.versions[FIRST]
    with reading(project.config) as readers:
        drill.draw()
        stopped = start_publisher(
            project.config, SECOND, where="wrote 25 of 60", number=signal.SIGSTOP
        )
        wait_until_stopped(stopped)
        with command(project, "rollback", first) as second:
            _, errors = second.communicate(timeout=COMMAND_SECONDS)
        assert second.returncode == 1
        assert f"another publication is running (process {stopped.pid} since" in errors
        assert "wait until it has finished" in errors
        readers.wait()
        stopped.kill()
        stopped.join()
        roll_back(project, first)
        readers.wait()
        drill.served.append(first)
    drill.check(readers)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_command_itself_is_killed(drill: Drill) -> None:
    """`longtail rollback` writes a version, and is killed when it logs its progress."""
    drill.keep_everything()
    for _ in range(2):
        drill.publish()
    target = drill.project.versions[FIRST]
    assert target not in {slot.version for slot in drill.pointer().slots.values()}
    with reading(drill.project.config) as readers:
        with command(drill.project, "rollback", target) as running:
            assert running.stderr is not None
            said = next((line for line in running.stderr if "wrote 25 of 60" in line), None)
            running.kill()
        assert said is not None
        assert running.returncode == -signal.SIGKILL
        readers.wait()
        if drill.pointer().served.version == target:
            drill.served.append(target)
        roll_back(drill.project, target)
        if drill.served[-1] != target:
            drill.served.append(target)
        readers.wait()
    assert readers.seen["client"] == readers.seen["feast"] == drill.served[-2:]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_slot_that_was_being_emptied_is_never_rolled_back_to(project: Published) -> None:
    """The slot's record is removed before its rows are."""
    for day in (FIRST, SECOND, THIRD):
        publish(project.config, day)
    before = read_pointer(project.config)
    assert before is not None
    assert before.slot_of(project.versions[FIRST]) == "b"
    kill_publisher(project.config, FOURTH, "slot b: emptied")
    after = read_pointer(project.config)
    assert after is not None
    assert after.slot_of(project.versions[FIRST]) is None
    assert after.served.version == project.versions[THIRD]

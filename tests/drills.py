"""For the crash drills: publishers that die where they are told to, and readers that never stop.

Each is a process of its own, forked from a server that has imported Feast once. A publisher runs
the real `publish` or `rollback`; what kills it (SIGKILL) listens to its log, where each step of a
publication says its name before it begins.
"""

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from longtail.artifacts import VersionPaths
from longtail.config import Config
from longtail.embeddings.publish import publish, rollback
from longtail.errors import LongtailError
from tests.publications import NEW, NUM_ITEMS

KEYS = [*(f"item-{number:03d}" for number in range(NUM_ITEMS)), NEW]
"""All that any version has; what a version does not have must be missing, not stale."""

READERS = ("client", "feast", "feast_cached")
"""The client; plain Feast that asks the registry each time; plain Feast that asks its cache."""

WAIT_SECONDS = 300.0
"""Far more than anything here takes, for a machine that is busy."""
# Imported once, in the process that all others are forked from.
_PRELOADED = [
    "feast",
    "feast.repo_operations",
    "longtail.features.feast.embedding_slots",
    "longtail.embeddings.publish",
    "longtail.serving.client",
]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_PRELOADED)


class _Signaller(logging.Handler):
    """Sends a signal to its own process as soon as the log says where it is."""

    def __init__(self, where: str, number: signal.Signals) -> None:
        super().__init__()
        self.where, self.number = where, number

    def emit(self, record: logging.LogRecord) -> None:
        step = getattr(record, "step", None)
        if step == self.where if step is not None else self.where in record.getMessage():
            os.kill(os.getpid(), self.number)


def _act(config: Config, what: str | date, where: str | None, number: signal.Signals) -> None:
    if where is not None:
        log = logging.getLogger("longtail")
        log.setLevel(logging.DEBUG)
        log.addHandler(_Signaller(where, number))
    publish(config, what) if isinstance(what, date) else rollback(config, what or None)


def start_publisher(
    config: Config,
    what: str | date,
    *,
    where: str | None = None,
    number: signal.Signals = signal.SIGKILL,
) -> ForkServerProcess:
    """Start a real publication.

    Args:
        config: the project.
        what: the day to publish, or the version to roll back to; "" is the previous one.
        where: a step's name, or a part of a log line: there the process gets the signal.
        number: the signal.
    """
    process = _context.Process(target=_act, args=(config, what, where, number))
    process.start()
    return process


def kill_publisher(config: Config, what: str | date, where: str) -> None:
    """Run a publication that is killed where it is told to, and that gets there."""
    process = start_publisher(config, what, where=where)
    process.join(WAIT_SECONDS)
    assert process.exitcode == -signal.SIGKILL, (what, where, process.exitcode)


def run_publisher(config: Config, what: str | date) -> float:
    """Run a publication to its end, in a process of its own; the seconds that it took."""
    start = time.monotonic()
    process = start_publisher(config, what)
    process.join(WAIT_SECONDS)
    assert process.exitcode == 0, (what, process.exitcode)
    return time.monotonic() - start


def kill_after(config: Config, what: str | date, seconds: float) -> bool:
    """Kill a publication some time after its start; whether it was still running."""
    process = start_publisher(config, what)
    process.join(seconds)
    process.kill()
    process.join(WAIT_SECONDS)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def wait_until_stopped(process: ForkServerProcess) -> None:
    """Wait for a process that sends itself SIGSTOP."""
    wait_for(
        lambda: Path(f"/proc/{process.pid}/stat").read_text().rsplit(")")[-1].split()[0] == "T",
        "the publisher to stop",
    )


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


class Reading:
    """What one read must look like: every key, whole, and all of one version, bit by bit."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._files: dict[str, Mapping[str, bytes]] = {}

    def check(
        self, vectors: Mapping[str, list[float] | None], versions: set[str], when: str
    ) -> str | None:
        """The one version of a read; None where it has no row at all.

        Args:
            vectors: by key, every key that was asked for.
            versions: what the rows, or the answer, say of their version.
            when: for the message.
        """
        assert list(vectors) == KEYS, f"{when}: other keys came back than were asked for"
        if not versions:
            assert set(vectors.values()) == {None}, f"{when}: vectors without a version"
            return None
        (version,) = versions
        expected = self._file(version)
        for key, vector in vectors.items():
            found = None if vector is None else np.array(vector, np.float32).tobytes()
            assert found == expected.get(key), f"{when}: {key} is not that of {version}"
        return version

    def _file(self, version: str) -> Mapping[str, bytes]:
        if version not in self._files:
            table = pq.read_table(VersionPaths(self._config, version).embeddings)
            vectors: npt.NDArray[np.float32] = np.array(table["embedding"].to_pylist(), np.float32)
            self._files[version] = {
                item: vector.tobytes()
                for item, vector in zip(table["item_id"].to_pylist(), vectors, strict=True)
            }
        return self._files[version]


def _read_forever(config: Config, counts: Any, told: multiprocessing.connection.Connection) -> None:
    """Read in turns as client and as plain Feast, until the parent says stop."""
    from longtail.features.feast.definitions import open_store
    from longtail.serving.client import EmbeddingClient

    # Feast says so when a service was applied between the read of its name and that of its rows.
    warnings.filterwarnings("ignore", message="The FeatureService object that has been passed")
    reading, client = Reading(config), EmbeddingClient(config)
    stores = {"feast": open_store(config), "feast_cached": open_store(config)}
    seen: dict[str, list[str | None]] = {name: [] for name in READERS}

    def read_client() -> str | None:
        try:
            answer = client.lookup(KEYS)
        except LongtailError as error:
            if "nothing is published yet" not in str(error):
                raise
            return None
        missing = [key for key, vector in answer["embeddings"].items() if vector is None]
        assert answer["missing"] == missing
        return reading.check(answer["embeddings"], {answer["version"]}, "client")

    def read_feast(name: str) -> str | None:
        store = stores[name]
        columns = store.get_online_features(
            features=store.get_feature_service(
                "item_embeddings", allow_cache=name == "feast_cached"
            ),
            entity_rows=[{"item_id": key} for key in KEYS],
        ).to_dict()
        versions = set(columns["model_version"]) - {None}
        vectors = dict(zip(columns["item_id"], columns["embedding"], strict=True))
        return reading.check(vectors, versions, name)

    problem = None
    try:
        while not told.poll():
            for place, name in enumerate(READERS):
                version = read_client() if name == "client" else read_feast(name)
                if seen[name][-1:] != [version]:
                    seen[name].append(version)
                counts[place] += 1
    except Exception:
        problem = traceback.format_exc()
    told.send((problem, seen))


@dataclass
class Readers:
    """The readers, as their parent sees them.

    Attributes:
        counts: reads so far, by reader.
        seen: when they have ended: the versions that each read, without repetitions.
    """

    counts: Any
    process: ForkServerProcess
    told: multiprocessing.connection.Connection
    seen: dict[str, list[str | None]] = field(default_factory=dict)

    def wait(self, reads: int = 2) -> None:
        """Until every reader has read this often; the first read may have begun before."""
        before = list(self.counts)

        def enough() -> bool:
            if self.told.poll():
                raise AssertionError(self.stop())
            return all(now - then >= reads for now, then in zip(self.counts, before, strict=True))

        wait_for(enough, f"{reads} reads of each reader")

    def stop(self) -> str | None:
        """End the readers; what went wrong."""
        if not self.told.poll():
            self.told.send("stop")
        problem, self.seen = self.told.recv()
        self.process.join(WAIT_SECONDS)
        return None if problem is None else str(problem)


@contextmanager
def reading(config: Config) -> Iterator[Readers]:
    """Readers that loop all the while; what they find wrong is raised, at the latest at the end."""
    told, child = _context.Pipe()
    counts = _context.RawArray("L", len(READERS))
    process = _context.Process(target=_read_forever, args=(config, counts, child), daemon=True)
    process.start()
    readers = Readers(counts, process, told)
    try:
        readers.wait()
        yield readers
        problem = readers.stop()
        assert problem is None, problem
    finally:
        process.kill()
        process.join(WAIT_SECONDS)

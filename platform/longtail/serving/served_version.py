"""What is served, followed: each publication replaces a version's parts as one object."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from longtail.artifacts import VersionPaths, published_pointer
from longtail.config import Config
from longtail.embeddings.pointer import Publication, served_pointer
from longtail.errors import LongtailError

RETRY_SECONDS = 1.0
"""How long a version that could not be loaded is not tried again: its files are read to say so."""

Part = TypeVar("Part")


class PointerFile:
    """The pointer file, parsed again only when another one has taken its place."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._file = published_pointer(config)
        self._read: tuple[tuple[int, int, int], Publication] | None = None

    def served(self) -> Publication:
        """What is served now.

        Raises:
            LongtailError: nothing is, or the file is damaged.
        """
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return served_pointer(self._config).served  # says what to do
        # A publication renames a new file over the old one. The state is taken before the
        # content: if a newer file comes in between, the next call sees another state.
        state = (found.st_ino, found.st_mtime_ns, found.st_size)
        read = self._read
        if read is None or read[0] != state:
            read = self._read = (state, served_pointer(self._config).served)
        return read[1]


class Shared(Generic[Part]):
    """Loads a part of a version once a process, however many objects follow it.

    It stays as long as somebody holds it: a call that still works with an old version keeps that.
    """

    def __init__(self, load: Callable[[Config, str], Part]) -> None:
        self._load = load
        self._alive: WeakValueDictionary[tuple[str, int, int], Part] = WeakValueDictionary()
        self._lock = threading.Lock()

    def __call__(self, config: Config, version: str) -> Part:
        """The part of a committed version; raises what loading raises."""
        manifest = VersionPaths(config, version).manifest
        try:
            state = manifest.stat()
        except FileNotFoundError:
            return self._load(config, version)  # says what is wrong
        key = (str(manifest), state.st_ino, state.st_mtime_ns)
        with self._lock:
            part = self._alive.get(key)
            if part is None:
                part = self._alive[key] = self._load(config, version)
            return part


class Following(Generic[Part]):
    """The parts of the served version, replaced whole with each publication and rollback.

    Reading is safe from many threads, and free of locks while nothing changes. The first call
    after a publication loads the new version; calls of other threads go on with the old one,
    whole, until the new one is there. Whoever took the old one keeps it until done.

    Args:
        config: the project.
        load: makes the parts of a version; raises `LongtailError` where its files are damaged.
    """

    def __init__(self, config: Config, load: Callable[[Config, str], Part]) -> None:
        self._config = config
        self._load = load
        self._pointer = PointerFile(config)
        self._loaded: tuple[Publication, Part] | None = None
        self._failure: tuple[Publication, LongtailError, float] | None = None
        self._lock = threading.Lock()

    def current(self, version: str | None = None) -> Part:
        """The parts of the served version.

        Args:
            version: the caller has something of this version: where that is the one being loaded,
                wait for it instead of going on with the old one.

        Raises:
            LongtailError: nothing is published, or the version's files are damaged. The next
                call tries again, after `RETRY_SECONDS`.
        """
        served = self._pointer.served()
        loaded = self._loaded
        if loaded is not None and loaded[0] == served:
            return loaded[1]
        failed = self._failure is not None and self._failure[0] == served
        wait = loaded is None or failed or served.version == version
        if not self._lock.acquire(blocking=wait):
            assert loaded is not None, "without anything to go on with, one waits"
            return loaded[1]
        try:
            return self._replaced()
        finally:
            self._lock.release()

    def _replaced(self) -> Part:
        """Load what is served now, unless another thread just did. The lock is held."""
        while True:
            served = self._pointer.served()
            if self._loaded is not None and self._loaded[0] == served:
                return self._loaded[1]
            if self._failure is not None:
                publication, error, again = self._failure
                if publication == served and time.monotonic() < again:
                    raise type(error)(*error.args)
            try:
                part = self._load(self._config, served.version)
            except LongtailError as error:
                if self._pointer.served() != served:
                    continue  # another publication came, and this version may be removed
                self._failure = (served, error, time.monotonic() + RETRY_SECONDS)
                raise
            self._loaded, self._failure = (served, part), None
            return part

"""The served version in memory: each publication replaces all its parts as one object."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from longtail.artifacts import VersionPaths, published_pointer
from longtail.config import Config
from longtail.embeddings.published_pointer import Publication, served_pointer
from longtail.errors import LongtailError

RETRY_SECONDS = 1.0
"""Pause before a version that could not be loaded is tried again, since a try reads its files."""

Part = TypeVar("Part")


class PointerFile:
    """The pointer file, which is parsed again only after a publication replaced it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._file = published_pointer(config)
        self._read: tuple[tuple[int, int, int], Publication] | None = None

    def served(self) -> Publication:
        """Return what is served now.

        Raises:
            LongtailError: nothing is published, or the file is damaged.
        """
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return served_pointer(self._config).served  # raises an error that says what to do
        # A publication renames a new file over the old one. The state is read before the content:
        # if a newer file comes in between, the next call sees another state, and reads again.
        state = (found.st_ino, found.st_mtime_ns, found.st_size)
        read = self._read
        if read is None or read[0] != state:
            read = self._read = (state, served_pointer(self._config).served)
        return read[1]


class Shared(Generic[Part]):
    """Loads a part of a version once a process, however many objects follow that version.

    The part stays in memory as long as an object or a running call holds it.

    Args:
        load: loads the part of a version; raises `LongtailError` if its files are damaged.
    """

    def __init__(self, load: Callable[[Config, str], Part]) -> None:
        self._load = load
        self._alive: WeakValueDictionary[tuple[str, int, int], Part] = WeakValueDictionary()
        self._lock = threading.Lock()

    def __call__(self, config: Config, version: str) -> Part:
        """Return the part of a committed version, loaded if no object holds it.

        Raises:
            LongtailError: the version is not committed, or its files are damaged.
        """
        manifest = VersionPaths(config, version).manifest
        try:
            state = manifest.stat()
        except FileNotFoundError:
            return self._load(config, version)  # raises an error that says what is wrong
        # A version that was made again under the same name has another manifest file.
        key = (str(manifest), state.st_ino, state.st_mtime_ns)
        with self._lock:
            part = self._alive.get(key)
            if part is None:
                part = self._alive[key] = self._load(config, version)
            return part


class Following(Generic[Part]):
    """The parts of the served version, replaced as a whole with each publication and rollback.

    Safe to read from many threads, without locks while nothing changes. The first call after a
    publication loads the new version; calls of other threads use the old one, whole, until the new
    one is loaded. A call that has taken the old one keeps it to its end.

    Args:
        config: the project.
        load: loads the parts of a version; raises `LongtailError` if its files are damaged.
    """

    def __init__(self, config: Config, load: Callable[[Config, str], Part]) -> None:
        self._config = config
        self._load = load
        self._pointer = PointerFile(config)
        self._loaded: tuple[Publication, Part] | None = None
        self._failure: tuple[Publication, LongtailError, float] | None = None
        self._lock = threading.Lock()

    def current(self, version: str | None = None) -> Part:
        """Return the parts of the served version.

        Args:
            version: the version of a vector that the caller has. If another thread is loading that
                version, the call waits for it instead of using the old one.

        Raises:
            LongtailError: nothing is published, or the version's files are damaged. A call after
                `RETRY_SECONDS` tries again.
        """
        served = self._pointer.served()
        loaded = self._loaded
        if loaded is not None and loaded[0] == served:
            return loaded[1]
        failed = self._failure is not None and self._failure[0] == served
        wait = loaded is None or failed or served.version == version
        if not self._lock.acquire(blocking=wait):
            assert loaded is not None, "a call waits if there is no old version to use"
            return loaded[1]
        try:
            return self._replaced()
        finally:
            self._lock.release()

    def _replaced(self) -> Part:
        """Load what is served now, unless another thread just did; the lock must be held."""
        while True:
            served = self._pointer.served()
            if self._loaded is not None and self._loaded[0] == served:
                return self._loaded[1]
            if self._failure is not None:
                publication, error, again = self._failure
                # A new object of the same error: raising one object from many threads would mix
                # their tracebacks.
                if publication == served and time.monotonic() < again:
                    raise type(error)(*error.args)
            try:
                part = self._load(self._config, served.version)
            except LongtailError as error:
                if self._pointer.served() != served:
                    continue  # another publication came meanwhile, and may have removed this one
                self._failure = (served, error, time.monotonic() + RETRY_SECONDS)
                raise
            self._loaded, self._failure = (served, part), None
            return part

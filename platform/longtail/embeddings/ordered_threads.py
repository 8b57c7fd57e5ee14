"""Work on batches by several threads, with a bounded number of batches and ordered results."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Batch], Result], batches: Iterable[Batch], *, num_threads: int
) -> Iterator[Result]:
    """Do work on every batch, and yield the results in the order of the batches.

    The next batch is read while threads work on others. At most `num_threads + 1` batches exist at
    once, so memory does not grow with their number. After an error no further batch is started.
    """
    with ThreadPoolExecutor(num_threads, thread_name_prefix="publication") as threads:
        pending: deque[Future[Result]] = deque()
        try:
            for batch in batches:
                pending.append(threads.submit(work, batch))
                if len(pending) > num_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

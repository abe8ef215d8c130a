"""Two ends of a queue of limited length, each worked at by a thread: what is ahead of the caller, what is behind."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar('T')
_END = object()
_CHECK_SECONDS = 0.1


class Ahead(Generic[T]):
    """Iterates over items that a thread fetches in advance, at most ``length`` of them at a time.

    An error of the items is raised where the failing item would have come. `close` ends the thread.

    Args:
        items: Used in the thread only; its ``close`` is called there if it has one.
        length: Items that may wait.
        name: Of the thread.
    """

    def __init__(self, items: Iterable[T], length: int, name: str) -> None:
        self._queue: queue.Queue = queue.Queue(length)
        self._closed = threading.Event()
        self._done = False
        self._thread = threading.Thread(target=self._fetch, args=(items,), name=name, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._done:
            raise StopIteration
        item, error = self._queue.get()
        if error is not None:
            self._done = True
            raise error
        if item is _END:
            self._done = True
            raise StopIteration
        return item

    def close(self) -> None:
        """Return when the thread has ended; items that wait are dropped."""
        self._closed.set()
        self._done = True
        self._thread.join()

    def _fetch(self, items: Iterable[T]) -> None:
        try:
            for item in items:
                if not self._put((item, None)):
                    return
            self._put((_END, None))
        except BaseException as error:  # the caller's, wherever it arose
            self._put((None, error))
        finally:
            if hasattr(items, 'close'):
                items.close()

    def _put(self, entry: tuple) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(entry, timeout=_CHECK_SECONDS)
            except queue.Full:
                continue
            return True
        return False


class Behind(Generic[T]):
    """Hands items to a function in a thread, in order; the caller waits while ``length`` of them wait.

    An error of the function is raised by the next `put` or by `close`; items after it are dropped.

    Args:
        consume: Called with each item.
        length: Items that may wait.
        name: Of the thread.
    """

    def __init__(self, consume: Callable[[T], object], length: int, name: str) -> None:
        self._consume = consume
        self._queue: queue.Queue = queue.Queue(length)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def close(self) -> None:
        """Return when all items are done with."""
        self._queue.put(_END)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (item := self._queue.get()) is not _END:
            if self._error is None:
                try:
                    self._consume(item)
                except BaseException as error:
                    self._error = error
            del item  # or it would live on while this waits for the next

"""Streams from and to one object of an object store, with bounded memory.

Writing is a push, uploading by the library a pull: once there is more than a part, a thread carries the parts over.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from zsync_pipelines.objects.clouds import Store

PART_BYTES = 8 * 1024 * 1024
PARTS_IN_FLIGHT = 4
"""A larger file is uploaded in parts of this size, so many at a time: with two that wait, this bounds the memory. A
store takes 10,000 parts (S3), so 78 GiB is the most that a file can hold."""
READ_BYTES = 1024 * 1024
"""The least that is read by one request: the answer to a request for less takes as long."""

Answers = Callable[[], AbstractContextManager[None]]
"""Turns failures of the library into errors that say what to do."""


class ObjectWriter(io.BufferedIOBase):
    """Writes one object, which is there from `finish` on; without it, nothing is. Closing alone finishes nothing."""

    def __init__(self, store: Store, key: str, answers: Answers) -> None:
        self._store = store
        self._key = key
        self._answers = answers
        self._held = bytearray()
        self._parts: Queue[bytearray | None] = Queue(maxsize=1)
        self._thread: Thread | None = None
        self._is_taken = False
        self._is_given_up = False
        self._failure: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Take bytes; raises what went wrong with those before."""
        with memoryview(data).cast("B") as view:
            self._held += view
            count = view.nbytes
        if len(self._held) >= PART_BYTES:
            if self._thread is None:
                self._thread = Thread(target=self._upload, name="zsync-upload", daemon=True)
                self._thread.start()
            self._parts.put(self._held)
            self._held = bytearray()
            self._raise_failure()
        return count

    def finish(self) -> None:
        """Show the object."""
        if self._thread is None:
            with self._answers():
                self._store.put(self._key, bytes(self._held), use_multipart=False)
        else:
            self._parts.put(self._held)
            self._end()
            self._raise_failure()
        self._held = bytearray()
        self.close()

    def abort(self) -> None:
        """Take back what was uploaded; nothing happens after `finish`."""
        if self._thread is not None:
            self._is_given_up = True
            self._end()
        self._held = bytearray()
        self.close()

    def _end(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._parts.put(None)
            thread.join()

    def _upload(self) -> None:
        """In the thread: upload the parts as they come. After a failure the rest is taken, so that nobody waits."""
        try:
            self._store.put(self._key, self._incoming(), chunk_size=PART_BYTES, max_concurrency=PARTS_IN_FLIGHT)
        except BaseException as error:  # raised where the bytes come from
            self._failure = error
            while not self._is_taken:
                self._is_taken = self._parts.get() is None

    def _incoming(self) -> Iterator[bytearray]:
        while (part := self._parts.get()) is not None:
            yield part
        self._is_taken = True
        if self._is_given_up:
            raise _GivenUpError  # the library then aborts the upload

    def _raise_failure(self) -> None:
        if self._failure is not None:
            with self._answers():
                raise self._failure


class _GivenUpError(Exception):
    """The writer gave up: the upload is not to be finished."""


class ObjectReader(io.BufferedIOBase):
    """Reads one object of known size by ranges. Small reads are made larger and kept, large ones are passed through."""

    def __init__(self, store: Store, key: str, size: int, answers: Answers) -> None:
        self._store = store
        self._key = key
        self._size = size
        self._answers = answers
        self._position = 0
        self._kept_from = 0
        self._kept = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes; fewer only at the end."""
        low = min(self._position, self._size)
        high = self._size if size is None or size < 0 else min(low + size, self._size)
        found = self._between(low, high)
        self._position = low + len(found)
        return found

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size)

    def _between(self, low: int, high: int) -> bytes:
        if low == high:
            return b""
        if high - low >= READ_BYTES:
            return self._fetch(low, high)
        if not self._kept_from <= low <= high <= self._kept_from + len(self._kept):
            # At the end of a file more is wanted of what lies before: Parquet's footer is read from its last bytes on.
            self._kept_from = max(0, min(low, self._size - READ_BYTES))
            self._kept = self._fetch(self._kept_from, min(self._kept_from + READ_BYTES, self._size))
        return self._kept[low - self._kept_from : high - self._kept_from]

    def _fetch(self, low: int, high: int) -> bytes:
        with self._answers():
            return bytes(self._store.get_range(self._key, start=low, end=high))

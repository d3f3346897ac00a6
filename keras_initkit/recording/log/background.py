"""`BackgroundWriter`: an event file on a storage that may be slow."""

import queue
import threading
import time
from typing import Any

# An object store may upload the whole file anew at each flush.
FLUSH_SECONDS = 30.0
# So long the end of a log may take.
CLOSE_SECONDS = 60.0
# So many bytes may wait to be written.
MOST_BYTES = 64 * 2**20


class BackgroundWriter:
    """Writes an event file from a thread of its own, so that no step waits for it.

    What fails there is raised by the next call. A killed process loses what the storage
    was not yet given, `FLUSH_SECONDS` of it or more where the storage is slow.

    Args:
        path: The file, which TensorFlow reaches.
    """

    def __init__(self, path: str):
        self._path = path
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._bytes = 0
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Hands an event over.

        Raises:
            OSError: If more than `MOST_BYTES` would wait.
        """
        self._tell_failure()
        with self._lock:
            self._bytes += len(data)
            if self._bytes > MOST_BYTES:
                self._failure = OSError(
                    f"the storage is too slow: over {MOST_BYTES >> 20} MiB are "
                    "waiting to be written"
                )
        self._tell_failure()
        self._waiting.put(data)

    def flush(self) -> None:
        """Does nothing: the thread flushes from time to time."""

    def close(self) -> None:
        """Waits until all is written, unless something has failed before.

        Raises:
            OSError: If that takes more than `CLOSE_SECONDS`.
        """
        self._waiting.put(None)
        self._tell_failure()
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            raise OSError(
                "the storage is too slow: the log could not be completed in "
                f"{CLOSE_SECONDS:.0f} s"
            )
        self._tell_failure()

    def _tell_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._write_all()
        except Exception as error:  # told where somebody can hear it
            self._failure = error

    def _write_all(self) -> None:
        import tensorflow as tf

        writer: Any = tf.io.TFRecordWriter(self._path)
        try:
            flushed = time.monotonic()
            while (data := self._waiting.get()) is not None and self._failure is None:
                writer.write(data)
                with self._lock:
                    self._bytes -= len(data)
                if time.monotonic() - flushed >= FLUSH_SECONDS:
                    writer.flush()
                    flushed = time.monotonic()
        finally:
            writer.close()

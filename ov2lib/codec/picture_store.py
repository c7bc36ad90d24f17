"""Candidate pictures kept until their group is known: in memory up to a limit, beyond it in a temporary file."""

import io
import tempfile
from typing import BinaryIO

import numpy as np

from ..errors import Ov2Error

IN_MEMORY = 1 << 27  # assumed: 128 MiB, 300 pictures of 392x392


class PictureStore:
    """Append pictures uint8 [H, W, 3] of one shape; read them back by number. Use as a context manager."""

    def __init__(self, limit: int = IN_MEMORY):
        self._limit, self._held, self._bytes, self._shape = limit, [], 0, ()
        self._file: BinaryIO | None = None

    def __enter__(self) -> "PictureStore":
        return self

    def __exit__(self, *_) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, picture: np.ndarray) -> None:
        """Keep one more picture; past the limit it goes to a file that the system deletes by itself.

        Raises:
            Ov2Error: that file cannot be written.
        """
        self._bytes += picture.nbytes
        if self._file is None and self._bytes <= self._limit:
            self._held.append(picture)
            return
        try:
            if self._file is None:
                self._file, self._shape = tempfile.TemporaryFile(), picture.shape
            self._file.seek(0, io.SEEK_END)
            self._file.write(np.ascontiguousarray(picture).data)
            self._file.flush()
        except OSError as error:
            folder = tempfile.gettempdir()
            raise Ov2Error(f"cannot keep pictures in {folder}: {error.strerror}; free some space or set TMPDIR") from error

    def read(self, start: int, end: int) -> list[np.ndarray]:
        """Pictures [start, end), in order of arrival."""
        pictures = self._held[start:end]
        if self._file is not None and end > len(self._held):
            first, size = max(start - len(self._held), 0), int(np.prod(self._shape))
            self._file.seek(first * size)
            raw = np.frombuffer(self._file.read((end - len(self._held) - first) * size), np.uint8)
            pictures = pictures + list(raw.reshape(-1, *self._shape))
        return pictures

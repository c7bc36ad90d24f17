"""Files that appear whole or not at all, and media kept under a name made of their content."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import Ov2Error


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name once all is written; an exception leaves what was there before.

    Raises:
        Ov2Error: it cannot be written. No `TrainingError`: the sample at hand is not to blame, and the next one will not
            fare better.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name[:32]}-", dir=path.parent)
    except OSError as error:
        raise Ov2Error(f"cannot write to {path.parent}: {error.strerror}; choose a folder you may write to") from error
    try:
        with open(handle, "wb") as file:
            yield file
        os.chmod(scratch, 0o644)  # a temporary file is its owner's alone
        os.replace(scratch, path)
    except OSError as error:
        raise Ov2Error(f"cannot write {path}: {error.strerror}; free some space or choose another folder") from error
    finally:
        Path(scratch).unlink(missing_ok=True)


def keep(content: BinaryIO, folder: Path, suffix: str) -> Path:
    """The file under `folder` that holds `content`, named by its SHA-256 and `suffix`; written if it is not there yet.

    Args:
        content: seekable, at its start.

    Raises:
        Ov2Error: as `whole_file`.
    """
    digest = hashlib.file_digest(content, "sha256").hexdigest()
    path = folder / digest[:2] / f"{digest}{suffix}"  # 256 folders, so that none holds millions of files
    if not path.is_file():
        content.seek(0)
        with whole_file(path) as file:
            shutil.copyfileobj(content, file)
    return path

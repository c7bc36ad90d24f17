"""Files and folders that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import Ov2Error


@contextmanager
def whole_folder(target: Path, error: type[Exception]) -> Iterator[Path]:
    """Yield a scratch folder beside `target` that takes its place when the block ends well; what stood there goes then.

    A block that fails leaves `target` as it was and nothing beside it.

    Args:
        target: the folder to make or replace; its parents are made.
        error: class of the exception that says what could not be written.

    Raises:
        error: the disk is full or the place cannot be written.
    """
    scratch = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        yield scratch
        scratch.chmod(0o755)
        if target.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
            target.rename(retired / "old")
            scratch.rename(target)
            shutil.rmtree(retired)
        else:
            scratch.rename(target)
    except OSError as cause:
        raise error(f"cannot write {target}: {cause.strerror or cause}; free some space or choose another folder") from cause
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


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

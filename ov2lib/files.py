"""Folders that appear whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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

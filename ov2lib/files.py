"""Files and folders that appear whole or not at all.

New content is written to a scratch name beside its target, synced to the disk, and takes its place by a rename. A file replaces
another in one step. Folders need two, for no portable call exchanges them: the old one steps aside to a known name first, and
where the program is killed between the two, `current` finds it there and the next write puts it back. A scratch name is locked
while its writer lives; the next write to the same target removes what killed writers left.
"""

import codecs
import errno
import os
import re
import reprlib
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import Ov2Error

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, so what killed writers left stays
    fcntl = None
try:
    from safetensors import SafetensorError
except ImportError:
    SafetensorError = OSError

# UTF-16 and UTF-32 by their marks, or by where ASCII letters have NULs in them; a line that begins with NULs is just damaged.
WIDE = re.compile(rb"\xff\xfe|\xfe\xff|\0\0\0[^\0\n]|\0[^\0\n]\0[^\0]|[^\0]\0[^\0]\0|[^\0]\0\0\0")
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a pipe waits for its writer otherwise; Windows has none


@contextmanager
def whole_folder(
    target: str | os.PathLike, error: type[Exception], stranger: Callable[[Path], str | None] | None = None
) -> Iterator[Path]:
    """Yield a scratch folder that becomes `target` when the block ends well; a block that fails leaves `target` as it was.

    Args:
        target: the folder to make or replace; its parents are made, and a link is followed.
        error: class of the exception that says what could not be written.
        stranger: see `check_folder`.

    Raises:
        error: as `check_folder`; the disk is full or the place cannot be written.
    """
    place = check_folder(target, error, stranger)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # it fails where nothing was left aside, or the target is there
            os.rename(_aside(place), place)
        with _scratch(place, Path.mkdir) as scratch:
            yield scratch
            sync_tree(scratch)
            check_folder(place, error, stranger)  # again: writing may have taken hours
            _replace_folder(scratch, place)
    except (OSError, SafetensorError) as cause:
        why = getattr(cause, "strerror", None) or cause
        raise error(f"cannot write {target}: {why}; free some space or choose another folder") from cause


@contextmanager
def whole_path(path: str | os.PathLike, sync: bool = True) -> Iterator[Path]:
    """Yield an empty scratch file that takes the name `path` when the block ends well; an exception leaves what was there.

    Args:
        path: in a folder that is there; a link is followed. The scratch file has the same suffix.
        sync: wait until the content is on the disk, so that a power cut leaves no empty file. False is for files that carry a
            check of their own.

    Raises:
        OSError: it cannot be written, or is a folder, a pipe or a device, which a rename would replace.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "it is a folder, a pipe or a device", str(path))
    with _scratch(path, lambda scratch: scratch.touch(exist_ok=False)) as scratch:
        yield scratch
        if sync:
            _sync(scratch)
        os.replace(scratch, path)


@contextmanager
def whole_file(path: str | os.PathLike, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing as `whole_path` does, and make its folder.

    Raises:
        Ov2Error: it cannot be written. No `TrainingError`: the sample at hand is not to blame, and the next one will not
            fare better.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with whole_path(path, sync) as scratch, open(scratch, "wb") as file:
            yield file
    except OSError as error:
        raise Ov2Error(f"cannot write to {path}: {error.strerror}; free some space or choose another folder") from error


def check_folder(
    target: str | os.PathLike, error: type[Exception], stranger: Callable[[Path], str | None] | None = None
) -> Path:
    """The real path of a folder, if `whole_folder` may make or replace it: to be asked before the work whose result goes there.

    Args:
        target: the folder.
        error: class of the exception.
        stranger: says what in a folder is not ours to replace, or None. Without it only a new or empty folder will do.

    Raises:
        error: it is a file, the current folder or a mount point, holds something else, or lies where nothing can be written;
            no path.
    """
    # 1. The place itself, links followed
    place = Path(os.path.realpath(path_text(target, error)))
    try:
        if link := next((path for path in (place, *place.parents) if path.is_symlink()), None):
            raise error(f"{target} goes through {link}, a link that leads back to itself; choose another folder")
        # 2. What stands there may be replaced only if it is ours, and no place that others need
        there = current(place)
        if there.exists():
            if not there.is_dir():
                raise error(f"{target} exists and is no folder; choose another folder")
            first = next(there.iterdir(), None)
            strange = first and (stranger(there) if stranger else repr(first.name))
            if strange:
                raise error(f"{target} holds {strange}, which would be lost; choose another folder")
            if os.path.ismount(place) or place in (here := Path(os.path.realpath(".")), *here.parents):
                raise error(f"{target} is a mount point or the folder you are in and cannot be replaced; choose one inside it")
        # 3. The nearest folder that exists must be writable
        nearest = next(folder for folder in place.parents if folder.exists())
    except OSError as cause:
        raise error(f"cannot write to {target}: {cause.strerror}; choose another folder") from cause
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise error(f"cannot write to {target}: {nearest} is no folder you may write to; choose another folder")
    return place


def check_file(path: str | os.PathLike, error: type[Exception]) -> Path:
    """The real path of a file, if `whole_path` may write it: to be asked before the work whose result goes there.

    Raises:
        error: it is a folder, a pipe or a device, or lies where nothing can be written; no path.
    """
    place = Path(os.path.realpath(path_text(path, error)))
    if place.exists() and not place.is_file():
        raise error(f"cannot write {path}: it is a folder, a pipe or a device; choose another place")
    if not (place.parent.is_dir() and os.access(place.parent, os.W_OK)):
        raise error(f"cannot write {path}: {place.parent} is no folder you may write to; choose another place")
    return place


def current(target: str | os.PathLike) -> Path:
    """Where the content of a folder is: under its name, or aside if a write was killed between its two renames."""
    place = Path(os.path.realpath(target))
    aside = _aside(place)
    with suppress(OSError):  # a folder replaced at this moment
        if aside.is_dir() and not (place.exists() and any(place.iterdir())):
            return aside
    return place


def path_text(value: str | bytes | os.PathLike, error: type[Exception]) -> str:
    """The path that a caller names, as text and otherwise unchanged.

    Raises:
        error: it is no path, empty, or text that no file can be named.
    """
    try:
        name = os.fsdecode(os.fsencode(value))
    except (TypeError, UnicodeError):
        name = ""
    if not name or "\0" in name:
        raise error(f"{reprlib.repr(value)} is no path; name a file or folder")
    return name


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe or a device, which may never end, is refused without waiting for it.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is something else.
    """
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | NO_WAIT))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError(f"{path.name} is no regular file")
    return file


def identity(folder: Path) -> tuple[int, int, int] | None:
    """What changes when `whole_folder` replaces a folder, or one steps aside; None where there is nothing."""
    with suppress(OSError):
        facts = os.stat(folder)
        return facts.st_dev, facts.st_ino, facts.st_ctime_ns  # numbers of removed folders are given out again
    return None


def sync_tree(folder: Path) -> None:
    """Wait until a folder and all files in it are on the disk."""
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _aside(target: Path) -> Path:
    return target.parent / f".{target.name}.ov2-old"  # `with_name` refuses the root folder


def _replace_folder(scratch: Path, target: Path) -> None:
    """Two renames, with a way back; the old folder is a scratch folder once the new one stands."""
    aside, waste = _aside(target), _scratch_name(target)
    if os.path.lexists(target):
        if aside.exists():  # of a writer that was killed after both renames
            os.rename(aside, _scratch_name(target))
        os.rename(target, aside)
    try:
        os.rename(scratch, target)
    except BaseException:  # Ctrl-C too: the old folder goes back to its name
        with suppress(OSError):
            os.rename(aside, target)
        raise
    with suppress(OSError):  # the new folder stands: what fails from here on is left to the next write
        _sync(target.parent)
        os.rename(aside, waste)
        _sweep(target)


@contextmanager
def _scratch(target: Path, make: Callable[[Path], object]) -> Iterator[Path]:
    """Something new beside `target`, locked; it goes at the end if it has not been renamed."""
    _sweep(target)
    for _ in range(9):  # another writer's `_sweep` may come between making and locking; some file systems have no locks
        scratch = _scratch_name(target)
        make(scratch)
        if (lock := _lock(scratch)) is not None:
            break
        _remove(scratch)
    else:
        make(scratch)
    try:
        yield scratch
    finally:
        _remove(scratch)
        if lock is not None:
            os.close(lock)


def _scratch_name(target: Path) -> Path:
    return target.with_name(f"{_scratch_prefix(target)}{os.urandom(6).hex()}{target.suffix[:16]}")


def _scratch_prefix(target: Path) -> str:
    return f".{target.name[:40]}.ov2-new-"


def _sweep(target: Path) -> None:
    """Remove the scratch of writers to `target` that are no more."""
    prefix = _scratch_prefix(target)
    for name in [name for name in os.listdir(target.parent) if name.startswith(prefix)]:
        path = target.parent / name
        if (lock := _lock(path)) is not None:
            _remove(path)
            os.close(lock)


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock on a file or folder until it is closed; None if another holds it or it has gone."""
    if fcntl is None:
        return None
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | NO_WAIT)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        os.close(descriptor)
    return None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    if path.is_dir() and fcntl is None:
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def project_root() -> Path:
    """The clone's top folder: the nearest one above the working directory, or above this package, that holds `notebooks/`.

    Raises:
        Ov2Error: neither lies inside a clone (a package installed without one has no notebooks and figures).
    """
    package = Path(__file__).resolve().parent
    for folder in (Path.cwd(), *Path.cwd().parents, package.parent):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise Ov2Error("no notebooks/ folder found; run this inside a clone of the project")


def numbered_lines(path: str | os.PathLike) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and text of every line that is not blank, without the byte-order mark that Windows editors write.

    Raises:
        OSError: the file cannot be read.
        UnicodeError: it is UTF-16 or UTF-32, where lines do not end where bytes say so.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1 and WIDE.match(line):
                raise UnicodeError("it is UTF-16 or UTF-32; save it as UTF-8, such as with iconv -f UTF-16 -t UTF-8")
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield number, line

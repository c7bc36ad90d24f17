"""What a corpus is made from, as samples: a folder of clips, a table, a place with a protocol, or what training reads."""

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import TrainingError, VideoError, install_hint
from ..samples.media import KINDS
from ..samples.readers import read_source
from ..samples.report import Report
from ..samples.sample import Media, Sample, parse_sample

PROTOCOLS = ("file", "memory", "http", "https", "s3", "gs", "az", "hf")  # that fsspec opens for us
PATHS = ("video", "image", "path", "url", "file")  # columns of a table that may name a clip
WORDS = ("caption", "text", "answer")  # columns that may hold what is said of it
JSON_COLUMNS = ("messages", "conversations", "media", "truth")
QUESTION = "Describe the video."  # assumed: asked where a clip comes with a caption alone
MAX_COPY = 1 << 33  # assumed: 8 GiB of one remote clip


def input_samples(place: str, media_dir: Path, report: Report) -> Iterator[Sample]:
    """Samples of whatever a place names; a clip of a folder or table without words is a sample without an answer.

    Args:
        place: a folder of clips (`clip.txt` beside `clip.mp4` is its caption), CSV or parquet with a column of `PATHS`, a
            pattern with a protocol such as `s3://bucket/clips/*.mp4`, or anything of `read_source`.
        media_dir: for media out of shards, see `read_source`.

    Raises:
        TrainingError: as `read_source`; a protocol that is not offered.
    """
    if "://" in place:
        files, paths = _filesystem(place)
        return (clip_sample(path, files.unstrip_protocol(path)) for path in sorted(files.glob(paths)))
    if place.endswith((".csv", ".parquet")):
        return _table(Path(place), report)
    folder = Path(place)
    if folder.is_dir() and not any((*folder.glob("*.jsonl"), *folder.glob("*.tar*"))):
        return _folder(folder)
    return read_source(place, media_dir, report)


def clip_sample(name: str, path: str, answer: str = "", question: str = QUESTION) -> Sample:
    """A clip and what is said of it; without an answer it can be tokenized but not trained on."""
    kind = KINDS.get(Path(path).suffix.lower(), "video")
    turns = [("user", f"<{kind}>\n{question}")] + ([("assistant", answer)] if answer else [])
    return Sample(name, tuple(turns), (Media(kind, path),))


def _folder(folder: Path) -> Iterator[Sample]:
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in KINDS]
    if not paths:
        raise TrainingError(f"{folder}: there is no clip in it; name a folder of clips, a JSONL or a table")
    for path in paths:
        words = path.with_suffix(".txt")
        answer = words.read_text(errors="replace").strip() if words.is_file() else ""
        yield clip_sample(path.relative_to(folder).as_posix(), str(path), answer)


def _table(path: Path, report: Report) -> Iterator[Sample]:
    """Samples of the rows of a CSV or parquet file; relative paths start in its folder."""
    for number, row in enumerate(_rows(path)):
        report.see()
        try:
            yield _from_row(f"{path.name}:{number}", row, path.parent)
        except Exception as error:  # whatever a row does
            report.skip(f"{path.name}:{number}", error)


def _rows(path: Path) -> Iterator[Mapping]:
    try:
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as file:
                yield from csv.DictReader(file)
        else:
            from pyarrow import parquet

            for batch in parquet.ParquetFile(path).iter_batches():
                yield from batch.to_pylist()
    except ModuleNotFoundError as error:
        raise TrainingError(f"{path}: reading parquet needs pyarrow; {install_hint('train')}") from error
    except (OSError, ValueError, csv.Error) as error:
        raise TrainingError(f"{path}: cannot be read as a table ({error}); check the file") from error


def _from_row(name: str, given: Mapping, folder: Path) -> Sample:
    # 1. Columns that are empty do not count, and a CSV writes lists as JSON
    row: dict[str, Any] = {column: value for column, value in given.items() if value not in (None, "")}
    for column in JSON_COLUMNS:
        if isinstance(row.get(column), str):
            row[column] = json.loads(row[column])
    if "messages" in row or "conversations" in row:
        return parse_sample(row, folder, name)
    # 2. A clip and a caption
    path = next((row[column] for column in PATHS if column in row), None)
    if not isinstance(path, str):
        raise TrainingError(f"{name}: no clip; give a column {', '.join(PATHS)}, or messages")
    path = path if "://" in path else str(folder / path)
    answer = next((str(row[column]) for column in WORDS if column in row), "")
    return clip_sample(str(row.get("id") or name), path, answer, str(row.get("question") or QUESTION))


def _filesystem(url: str):
    """The file system of a URL, and the path there.

    Raises:
        TrainingError: a protocol that is not offered, or whose package is missing.
    """
    if url.partition("://")[0] not in PROTOCOLS:
        raise TrainingError(f"{url}: this protocol is not offered; use {', '.join(PROTOCOLS)}, or copy the clip here")
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise TrainingError(f"{url}: cannot be opened ({error}); install fsspec and what it asks for") from error


@contextmanager
def local_file(path: str) -> Iterator[str]:
    """A path that FFmpeg may seek in: the file itself, or a copy of a remote one that goes at the end.

    Raises:
        VideoError: a remote file that is missing or larger than `MAX_COPY`.
    """
    if "://" not in path:
        yield path
        return
    files, place = _filesystem(path)
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, f"clip{Path(place).suffix}")
        try:
            if files.size(place) > MAX_COPY:
                raise VideoError(path, f"has more than {MAX_COPY} bytes", "cut it into parts")
            with files.open(place, "rb") as source, open(target, "wb") as copy:
                shutil.copyfileobj(source, copy)
        except FileNotFoundError as error:
            raise VideoError(path, "no such file", "check the address") from error
        yield target

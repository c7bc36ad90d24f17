"""Samples from JSON lines, WebDataset shards and Hugging Face datasets, one at a time.

A row that is no sample is skipped and listed in the `Report`, which stops the run once too many are. What cannot be read at
all (a missing file, a damaged shard) is an error at once. Media inside shards and datasets are written to a folder under a name
made of their content, because the front ends read files.
"""

import codecs
import glob
import io
import json
import lzma
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from ..errors import TrainingError, describe, install_hint
from ..files import numbered_lines
from ..video.images import open_image
from .media import KINDS
from .media_store import keep
from .report import Report
from .sample import Sample, id_text, named_media, objects, parse_sample
from .shards import shard_rows

CORPUS = "corpus.json"  # the plan in a folder of `ov2 corpus`
MAX_JSON_BYTES = 1 << 26  # assumed: 64 MiB for one sample's text
MAX_MEDIA_BYTES = 1 << 31  # assumed: 2 GiB for one clip
PIECE = 1 << 20  # our choice: characters of a JSON list read at a time
SEPARATOR = re.compile(r"[\s,]*")
MAX_DEPTH = 100  # assumed; Python reads JSON some 990 deep, and not always writes it again
MEDIA_COLUMNS = ("image", "images", "video", "videos")  # of the LLaVA corpora
HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")  # a dataset's, with or without its owner
SHARD_NAME = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)")  # WebDataset: all up to the first dot of the base name is the key
DAMAGE = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)  # what tarfile raises on damaged archives


def read_source(place: str, media_dir: str | os.PathLike, report: Report) -> Iterator[Sample]:
    """Samples of whatever a place names.

    Args:
        place: a JSONL file, a JSON list, tar shards (one, a folder of them, or a pattern), a folder with one JSONL file, a
            folder of `ov2 corpus`, or else a Hugging Face dataset, NAME[#CONFIGURATION[/SPLIT]].
        media_dir: see `read_webdataset`.

    Raises:
        TrainingError: nothing is there and it is no dataset's name; otherwise as the readers below.
    """
    if (Path(place) / CORPUS).is_file():
        return read_corpus(place, report)
    lines = sorted(glob.glob(os.path.join(glob.escape(place), "*.jsonl"))) if os.path.isdir(place) else []
    shards = sorted(glob.glob(os.path.join(glob.escape(place), "*.tar*") if os.path.isdir(place) else place))
    if place.endswith((".jsonl", ".json")) or (len(lines) == 1 and not shards):
        return read_jsonl(lines[0] if lines else place, report)
    if shards and all(".tar" in Path(shard).suffixes for shard in shards):
        return read_webdataset(shards, media_dir, report)
    name, _, rest = place.partition("#")
    no_dataset = ".tar" in Path(name).suffixes or not HUB_NAME.fullmatch(name)
    if no_dataset and not os.path.exists(name):
        raise TrainingError(f"{name}: no such file or folder; check the path")
    configuration, _, split = rest.partition("/")
    return read_hf(name, media_dir, report, split or "train", configuration or None)


def read_jsonl(path: str | os.PathLike, report: Report) -> Iterator[Sample]:
    """Samples of a file with one JSON object a line, or of one JSON list as LLaVA's; relative media paths start in its folder.

    Raises:
        TrainingError: the file cannot be read, or holds no sample; too many bad lines (see `Report`).
    """
    path = Path(path)

    def rows() -> Iterator[tuple[str, bytes]]:
        try:
            if _is_list(path):
                yield from _list_items(path)
            else:
                yield from ((f"{path}:{number}", line) for number, line in numbered_lines(path))
        except OSError as error:
            raise TrainingError(f"{path}: cannot be read ({error.strerror}); check the path") from error
        except UnicodeError as error:
            raise TrainingError(f"{path}: {error}") from error

    return _samples(rows(), lambda place, line: _parsed(place, _json(place, line), path.parent), report, str(path))


def read_webdataset(shards: Iterable[str | os.PathLike], media_dir: str | os.PathLike, report: Report) -> Iterator[Sample]:
    """Samples of WebDataset shards: tar files in which `key.json`, `key.mp4`, `key.0.jpg` ... are one sample.

    A media path in the JSON names a member beside it, by its whole name, its base name or what follows the key ("0.jpg");
    where the JSON names none, the media members are the media, in the order of the shard. Members need not stand side by side,
    unless the shard is compressed. Shards are read with the standard library: nothing is unpickled, no URL is opened and no
    member decides where it is written. Links and paths that leave the archive are bad rows.

    Args:
        shards: local tar files, compressed or not.
        media_dir: where media are written, named by content.

    Raises:
        TrainingError: a shard is missing or damaged, or there is no sample in any; too many bad rows (see `Report`).
        Ov2Error: media cannot be written.
    """
    names, folder = [os.fspath(shard) for shard in shards], Path(media_dir)
    rows = ((f"{name}:{key}", members) for name in names for key, members in _grouped(name, folder))
    return _samples(rows, _from_members, report, ", ".join(names[:3]) or "no shards")


def read_corpus(place: str | os.PathLike, report: Report) -> Iterator[Sample]:
    """Samples of a folder that `ov2 corpus run` has filled; media are places in its shards, and what failed is a bad row.

    Raises:
        TrainingError: it is not finished or damaged, or holds no sample; too many bad rows (see `Report`).
    """
    # 1. It must be whole
    folder = Path(place).absolute()
    try:
        shards = json.loads((folder / CORPUS).read_text())["shards"]
        ledgers = [json.loads(path.read_text()) for path in sorted(folder.glob("[0-9]*.json"))]
        failed = [row for ledger in ledgers for row in ledger["samples"] if row["status"] != "ok"]
        if len(ledgers) != shards:
            raise TrainingError(f"{place}: {len(ledgers)} of {shards} shards are done; run `ov2 corpus run {place}` first")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise error if isinstance(error, TrainingError) else TrainingError(f"{place}: a damaged corpus ({error})") from error

    # 2. What failed, then the shards
    def rows() -> Iterator[tuple[str, Any]]:
        yield from ((row["id"], TrainingError(row["reason"])) for row in failed)
        for number in range(shards):
            yield from ((row["id"], row) for row in shard_rows(folder / f"{number:05d}.tar"))

    def parse(name: str, row: Any) -> Sample:
        if isinstance(row, TrainingError):
            raise row
        return parse_sample(row, None, name)

    return _samples(rows(), parse, report, str(place))


def read_hf(
    dataset: Any, media_dir: str | os.PathLike, report: Report, split: str = "train", configuration: str | None = None
) -> Iterator[Sample]:
    """Samples of a Hugging Face dataset, streamed.

    Columns are those of the schema (`messages`, `media` ...), of LLaVA (`conversations`, `image` ...) or of FineVision
    (`texts`, `images`). Fields that are None are left out: Arrow fills the gaps of objects with None.

    Args:
        dataset: a dataset that is loaded (streaming or not), or the name or folder of one.
        media_dir: where media of the rows are written, named by content, and where relative media paths start.
        split, configuration: of a dataset given by name.

    Raises:
        TrainingError: `datasets` is not installed; the dataset cannot be found or read, or holds no sample; too many bad rows.
        Ov2Error: media cannot be written.
    """
    # 1. Open the dataset with its media undecoded
    media_dir = Path(media_dir)
    origin = dataset if isinstance(dataset, str) else getattr(dataset, "split", None) or "dataset"
    opened = _load(dataset, split, configuration) if isinstance(dataset, str | os.PathLike) else _undecoded(dataset)

    # 2. Rows, whatever the dataset's own code raises
    def rows() -> Iterator[tuple[str, Any]]:
        try:
            for number, row in enumerate(opened):
                yield f"{origin}:{number}", row
        except MemoryError:
            raise
        except Exception as error:  # whatever a dataset's own code raises
            why = error if isinstance(error, OSError | ValueError) else describe(error)
            raise TrainingError(f"{origin}: cannot be read ({why}); download it again") from error

    # 3. A row becomes a sample
    def parse(place: str, row: Mapping) -> Sample:
        return _parsed(place, _from_columns(place, row, media_dir), media_dir)

    return _samples(rows(), parse, report, str(origin))


def _samples(rows: Iterable[tuple], parse: Callable[[str, Any], Sample], report: Report, origin: str) -> Iterator[Sample]:
    used = 0
    for place, row in rows:
        report.see()
        try:
            sample = parse(place, row)
        except Exception as error:  # whatever a row does
            report.skip(place, error)
        else:
            used += 1
            yield sample
    if not used:
        reason = max(report.reasons, key=lambda name: len(report.reasons[name]), default="it has no rows")
        raise TrainingError(f"{origin}: there is no sample in it ({reason})")


def _is_list(path: Path) -> bool:
    """Whether a file begins and ends as one JSON list."""
    with path.open("rb") as file:
        begins = file.read(4096).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
        file.seek(max(path.stat().st_size - 4096, 0))
        return begins and file.read().rstrip().endswith(b"]")


def _list_items(path: Path) -> Iterator[tuple[str, bytes]]:
    """Place and text of the items of a JSON list, read piece by piece: a whole corpus does not fit in memory."""
    decoder, number, place = json.JSONDecoder(), 0, 0
    with path.open(encoding="utf-8-sig") as file:
        text = file.read(PIECE).lstrip().removeprefix("[")
        while True:
            # 1. The next item, or the end
            place = SEPARATOR.match(text, place).end()  # type: ignore[union-attr]
            if text.startswith("]", place):
                return
            try:
                _, end = decoder.raw_decode(text, place)
            except (ValueError, RecursionError) as error:
                # 2. It is cut off: read on, twice as much each time
                text, place = text[place:], 0
                piece = file.read(max(PIECE, len(text)))
                if not piece or len(text) > MAX_JSON_BYTES:
                    raise TrainingError(f"{path}[{number}]: not JSON ({error})") from error
                text += piece
            else:
                yield f"{path}[{number}]", text[place:end].encode(errors="surrogatepass")
                number, place = number + 1, end


def _parsed(place: str, row: Any, folder: Path | None = None) -> Sample:
    try:
        return parse_sample(row, folder, place)
    except TrainingError as error:
        name = id_text(row.get("id")) if isinstance(row, Mapping) else ""
        raise TrainingError(f"{place}: {str(error).removeprefix(f'{name or place}: ')}") from error


def _json(place: str, text: bytes) -> object:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"{place}: not JSON ({error})") from error
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _is_deep(row, MAX_DEPTH):
        raise TrainingError(f"{place}: nested more than {MAX_DEPTH} deep")
    return row


def _is_deep(value: object, depth: int) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 0 or any(_is_deep(item, depth - 1) for item in items)


def _grouped(shard: str, media_dir: Path) -> Iterator[tuple[str, list[tuple[str, object]]]]:
    """(key, members) of a shard; a member is its name and its JSON text, the file it was written to, or what is wrong."""
    # 1. List the members by sample, from their headers alone
    if not Path(shard).is_file():
        raise TrainingError(f"{shard}: no such shard; name local tar files (URLs, pipes and braces are not expanded)")
    try:
        with tarfile.open(shard) as archive:
            groups: dict[str, list[tarfile.TarInfo]] = {}
            for member in archive:  # headers only
                if not member.isdir() and (name := SHARD_NAME.fullmatch(member.name)):
                    groups.setdefault(name[1], []).append(member)
            # 2. The archive must be whole
            file: Any = archive.fileobj
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes any block it cannot read for the end
                raise tarfile.ReadError(f"no member at byte {archive.offset}")
            # 3. A compressed archive is read once, so that a sample's members must be neighbours
            places = [member.offset for members in groups.values() for member in members]
            if places != sorted(places) and not isinstance(file, io.BufferedReader):
                raise TrainingError(
                    f"{shard}: a sample's members do not stand side by side, and a compressed shard is only read from "
                    "beginning to end; decompress it, or pack it anew with tar --sort=name"
                )
            # 4. Give the samples, their media written to files
            for key, members in groups.items():
                yield key, [(member.name, _content(archive, member, media_dir)) for member in members]
    except DAMAGE as error:
        raise TrainingError(f"{shard}: damaged or no tar file ({error}); download it again") from error


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, media_dir: Path) -> bytes | Path | TrainingError | None:
    suffix = PurePosixPath(member.name).suffix.lower()
    if not member.isfile():
        return TrainingError("a member is a link or a device; pack the files themselves")
    if member.name.startswith("/") or ".." in PurePosixPath(member.name).parts:
        return TrainingError("a member's name leaves the archive; pack with relative names")
    if member.size > (MAX_JSON_BYTES if suffix == ".json" else MAX_MEDIA_BYTES):
        return TrainingError(f"a member has {member.size} bytes; split it")
    content: Any = archive.extractfile(member)
    if suffix == ".json":
        return content.read()
    return keep(content, media_dir, suffix) if suffix in KINDS else None


def _from_members(place: str, members: list[tuple[str, object]]) -> Sample:
    # 1. A member that could not be read spoils its sample
    for _, content in members:
        if isinstance(content, TrainingError):
            raise TrainingError(f"{place}: {content}")
    # 2. One JSON member says what the sample is; without media in it, the shard's own files are the media
    texts = [content for _, content in members if isinstance(content, bytes)]
    files = {name: content for name, content in members if isinstance(content, Path)}
    if len(texts) != 1:
        raise TrainingError(f"{place}: {len(texts)} .json members; a sample has one")
    row = _json(place, texts[0])
    if isinstance(row, Mapping) and not named_media(row, place):
        still = b"<image>" in texts[0] or b'"image"' in texts[0]  # a GIF may be either
        kinds = KINDS | {".gif": "image"} if still else KINDS
        row = {**row, "media": [{"type": kinds[path.suffix], "path": name} for name, path in files.items()]}
    sample = _parsed(place, row)
    # 3. Media are named by full name, by file name or by what follows the key
    base = {PurePosixPath(name).name: path for name, path in files.items()}
    after_key = {parts[2]: path for name, path in files.items() if (parts := SHARD_NAME.fullmatch(name))}
    files = after_key | base | files
    for item in sample.media:
        if item.path not in files:
            raise TrainingError(f"{place}: no member is called {item.path}; name media as in the shard")
    return replace(sample, media=tuple(replace(item, path=str(files[item.path])) for item in sample.media))


def _load(name: str | os.PathLike, split: str, configuration: str | None) -> Iterable[Mapping]:
    try:
        from datasets import load_dataset
    except ModuleNotFoundError as error:
        raise TrainingError(f"reading a Hugging Face dataset needs datasets; {install_hint('train')}") from error
    try:
        return _undecoded(load_dataset(os.fspath(name), configuration, split=split, streaming=True))
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{name}: cannot be opened as a dataset ({error}); check its name, configuration and split, or its "
            "path if it is a file"
        ) from error


def _undecoded(dataset: Any) -> Iterable[Mapping]:
    """Rows with media as the bytes that were stored, not decoded."""
    stream = dataset.to_iterable_dataset() if hasattr(dataset, "to_iterable_dataset") else dataset
    return stream.decode(False) if getattr(stream, "features", None) else stream


def _from_columns(place: str, given: Mapping, media_dir: Path) -> dict:
    row: dict = _present(given)
    for column in MEDIA_COLUMNS:
        if column in row:
            items = row[column] if isinstance(row[column], list) else [row[column]]
            row[column] = [_kept(item, media_dir) for item in items]
    if "media" in row:
        row["media"] = [dict(item) | {"path": _kept(item.get("path"), media_dir)} for item in objects(place, row, "media")]
    if "texts" in row and "messages" not in row:
        row |= _from_finevision(place, row)
    return row


def _from_finevision(place: str, row: Mapping) -> dict:
    """Rounds of `user` and `assistant`; the images come before the first words."""
    rounds = objects(place, row, "texts")
    messages = [{"role": role, "content": turn.get(role)} for turn in rounds for role in ("user", "assistant")]
    if messages:
        messages[0]["content"] = "<image>\n" * len(row.get("images", [])) + str(messages[0]["content"])
    return {"messages": messages}


def _kept(item: Any, media_dir: Path) -> Any:
    """The path of a picture or clip: where it is, or where it was written."""
    if isinstance(item, Image.Image):
        content = io.BytesIO()
        open_image(item).save(content, "PNG")
        content.seek(0)
        return str(keep(content, media_dir, ".png"))
    if not isinstance(item, Mapping):
        return item
    path, stored = item.get("path") or "", item.get("bytes")
    if stored is None:
        return path
    suffix = PurePosixPath(path).suffix.lower()
    return str(keep(io.BytesIO(stored), media_dir, suffix if suffix in KINDS else ""))


def _present(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _present(item) for name, item in value.items() if item is not None}
    return [_present(item) for item in value] if isinstance(value, list) else value

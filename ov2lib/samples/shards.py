"""Visual tokens in WebDataset shards, as `ov2 corpus` makes them: read by `ov2 train`, which decodes no video again.

Members of a sample, in this order; KEY is a digest of its content:

    KEY.json               the sample schema; each medium with "tokens": frame rate, patch size, kind, groups, configuration
    KEY.0.positions.npy    int32 [patches, 3] of its first medium: source frame, patch row, patch column; -1 is padding
    KEY.0.times.npy        float64 [frames]
    KEY.0.000.png …        canvases, or .jpg

The same samples and configuration give the same bytes: no time, owner or path of the machine is written.
"""

import io
import json
import math
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from ..errors import TokensError
from ..files import open_regular
from ..tokens import DAMAGE, MAX_CANVAS_BYTES, VisualTokens, check_positions, check_values
from .sample import Sample

PLACE = re.compile(r"(.+\.tar)#(\d+)\.(\d+)", re.DOTALL)  # a medium: shard, byte where its sample begins, number in the sample
PICTURES = {"png": {"format": "PNG", "compress_level": 1}, "jpg": {"format": "JPEG", "quality": 95}}
END = bytes(2 * tarfile.BLOCKSIZE)  # of a tar file
FACTS = ("fps", "patch_size", "kind", "config", "merge")


def entry(key: str, sample: Sample, visuals: Sequence[VisualTokens], picture: str) -> bytes:
    """The blocks of a tar file that hold one sample.

    Args:
        key: name of the sample, without dots.
        visuals: of its media, in their order.
        picture: "png" or "jpg".
    """
    # 1. The sample's text, and what is said of its media in words
    row = sample.to_json()
    for item, tokens in zip(row["media"], visuals, strict=True):
        facts = {name: getattr(tokens, name) for name in FACTS}
        size = tokens.canvases.shape[:3]
        item["tokens"] = facts | {"source": "", "shape": size, "group_ids": tokens.group_ids.tolist()}
        item["path"] = PurePath(item["path"]).name
    blocks = [_member(f"{key}.json", json.dumps(row, sort_keys=True).encode())]
    # 2. Arrays and canvases
    for number, tokens in enumerate(visuals):
        arrays = {"positions": tokens.patch_positions.astype("<i4"), "times": tokens.frame_times.astype("<f8")}
        blocks += [_member(f"{key}.{number}.{name}.npy", _npy(array)) for name, array in arrays.items()]
        for place, canvas in enumerate(tokens.canvases):
            content = io.BytesIO()
            Image.fromarray(canvas).save(content, **PICTURES[picture])
            blocks.append(_member(f"{key}.{number}.{place:04d}.{picture}", content.getvalue()))
    return b"".join(blocks)


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, np.ascontiguousarray(array), (1, 0), allow_pickle=False)
    return content.getvalue()


def _member(name: str, content: bytes) -> bytes:
    """A member of a tar file: header, content, zeros up to a whole block; time 0 and owner 0, as `TarInfo` has them."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def shard_rows(shard: Path) -> Iterator[dict]:
    """The samples of a shard as JSON rows; the path of each medium leads `read_tokens` to it.

    Raises:
        TokensError: the shard is missing or damaged.
    """
    try:
        with open_regular(shard) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if not member.name.endswith(".json"):
                    continue
                row = json.loads(_content(archive, member))
                for number, item in enumerate(row["media"]):
                    item["path"] = f"{shard}#{member.offset}.{number}"
                yield row
    except (*DAMAGE, tarfile.TarError) as error:
        raise TokensError(f"{shard} is damaged ({error}); remove it and its ledger, and run `ov2 corpus run` again") from error


def read_tokens(place: str) -> VisualTokens:
    """The visual tokens of a medium in a shard; sizes are checked before anything is decoded.

    Args:
        place: as `shard_rows` gives it, see `PLACE`.

    Raises:
        TokensError: no such shard or sample, or a damaged one.
    """
    shard, offset, number = PLACE.fullmatch(place).groups()  # type: ignore[union-attr]
    try:
        with open_regular(Path(shard)) as file:
            file.seek(int(offset))
            with tarfile.open(fileobj=file, mode="r:") as archive:
                return _read(archive, int(number))
    except (*DAMAGE, tarfile.TarError, IndexError) as error:
        raise TokensError(f"{place} holds no visual tokens ({error}); make the corpus again") from error


def _read(archive: tarfile.TarFile, number: int) -> VisualTokens:
    # 1. The first member says what is to come
    first = archive.next()
    if first is None:
        raise ValueError("no sample begins there")
    key = first.name.removesuffix(".json")
    facts = json.loads(_content(archive, first))["media"][number]["tokens"]
    check_values(facts)
    count, height, width = facts["shape"]
    if not 0 < 3 * count * height * width <= MAX_CANVAS_BYTES or count != len(facts["group_ids"]):
        raise ValueError(f"{count} canvases of {width}x{height} for {len(facts['group_ids'])} groups")
    # 2. Arrays and canvases of this medium
    arrays: dict[str, np.ndarray] = {}
    canvases, seen = np.empty((count, height, width, 3), np.uint8), 0
    for member in archive:
        if not member.name.startswith(f"{key}."):
            break
        name = member.name.removeprefix(f"{key}.{number}.")
        if name.endswith(".npy"):
            arrays[name.removesuffix(".npy")] = _array(_content(archive, member))
        elif name != member.name:
            canvases[seen] = _canvas(_content(archive, member), (width, height))
            seen += 1
    if seen != count:
        raise ValueError(f"{seen} of {count} canvases")
    # 3. Put together, and held against each other
    tokens = VisualTokens(
        canvases=canvases, patch_positions=arrays["positions"].astype(np.int64), frame_times=arrays["times"],
        group_ids=np.array(facts["group_ids"], np.int64), **{name: facts[name] for name in FACTS if name in facts},
    )  # fmt: skip
    check_positions(tokens)
    return tokens


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if not member.isreg() or member.size > MAX_CANVAS_BYTES:
        raise ValueError(f"{member.name} is no file of a shard")
    return archive.extractfile(member).read()  # type: ignore[union-attr]


def _array(content: bytes) -> np.ndarray:
    """An array of numbers; its header must ask for just what the member holds."""
    stream = io.BytesIO(content)
    np.lib.format.read_magic(stream)
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    start = stream.tell()
    if fortran or dtype.kind not in "if" or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"an array of {dtype} {shape} in {len(content)} bytes")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def _canvas(content: bytes, size: tuple[int, int]) -> np.ndarray:
    with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
        if picture.size != size or picture.mode != "RGB":
            raise ValueError(f"a canvas is {picture.mode} {picture.size} and not RGB {size}")
        return np.asarray(picture)

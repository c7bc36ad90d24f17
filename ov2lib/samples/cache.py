"""Visual tokens on disk, made once for each content and configuration: a clip is decoded in the first epoch only.

An entry is the SHA-256 of what follows, and a sample as in a shard (`ov2lib.samples.shards`), its pictures as PNG.
"""

import hashlib
import json
import os
import stat
from collections import OrderedDict
from dataclasses import asdict, replace
from pathlib import Path

from ..errors import ModelError, Ov2Error, TokensError, TrainingError, VideoError
from ..files import whole_file
from ..tokens import FORMAT, MERGE, VisualTokens
from .media import IMAGE_PIXELS, MediaOptions, image_tokens, override, video_tokens
from .sample import Media, Sample
from .shards import PLACE, entry, read_tokens

FRONT_ENDS = 2  # raise it whenever a front end gives other tokens for the same file and options
IN_MEMORY = 1 << 28  # assumed: 256 MiB, 18 clips of 32 canvases
ARRAYS = ("canvases", "patch_positions", "group_ids", "frame_times")
DIGEST = 32  # bytes of a SHA-256


class TokenCache:
    """Tokenize media as the processor does at inference, and keep the result.

    Any number of processes may share a folder: entries appear whole, and who comes second writes the same again.

    Args:
        folder: where entries are kept; it may be deleted at any time.
        patch_size: pixels on a patch's side.
        image_pixels: bounds of an image's pixels where its options give none; `processor.image_processor.size`.
        in_memory: bytes of the latest used tokens that stay in memory.
        workers: threads that decode a video, by default as many as the process may use cores.
        merge: patches on the side of a block.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        patch_size: int = 14,
        image_pixels: dict[str, int] = IMAGE_PIXELS,
        in_memory: int = IN_MEMORY,
        workers: int | None = None,
        merge: int = MERGE,
    ):
        self.folder, self.patch_size, self.image_pixels, self.workers = Path(folder), patch_size, image_pixels, workers
        self.merge = merge
        self._limit, self._bytes, self._held = in_memory, 0, OrderedDict()
        self._digests: dict[tuple, str] = {}

    def tokens(self, media: Media, defaults: MediaOptions = MediaOptions()) -> VisualTokens:  # noqa: B008 (frozen)
        """The visual tokens of one image or video; they are shared, so do not write into them.

        Args:
            media: the file, and options that go before the defaults; or a place in a shard of `ov2 corpus`, whose tokens are
                taken as they are.
            defaults: options of the stage.

        Raises:
            VideoError: the file is missing, or is no video that can be read.
            TrainingError: options that do not exist or make no sense, an image that cannot be read.
            TokensError: a damaged shard, or one of another patch size.
            Ov2Error: the entry cannot be written.
        """
        # 1. What `ov2 corpus` made is read from its shard
        if PLACE.fullmatch(media.path):
            return self._from_shard(media.path)
        # 2. The rest is made once and kept under a name of content and options
        options = self.options(media, defaults)
        facts = {
            "file": self._digest(media.path),
            "kind": media.kind,
            "options": options,
            "blocks": [self.patch_size, self.merge],
        }
        key = hashlib.sha256(json.dumps([FORMAT, FRONT_ENDS, facts], sort_keys=True).encode()).hexdigest()
        tokens = self._held.get(key)
        if tokens is None:
            path = self.folder / key[:2] / f"{key}.tar"
            tokens = _read(path)
            if tokens is None:
                tokens = self._make(media, options)
                _write(path, tokens)
            self._hold(key, tokens)
        self._held.move_to_end(key)
        return replace(tokens, source=media.path)

    def fresh(self, media: Media, defaults: MediaOptions) -> VisualTokens:
        """The same tokens, computed again and not stored."""
        return self._make(media, self.options(media, defaults))

    def _from_shard(self, place: str) -> VisualTokens:
        tokens = self._held.get(place)
        if tokens is None:
            tokens = replace(read_tokens(place), source=place)
            if (tokens.patch_size, tokens.merge) != (self.patch_size, self.merge):
                raise TokensError(
                    f"{place} has {tokens.merge}x{tokens.merge} patches of {tokens.patch_size} pixels a token and the model "
                    f"{self.merge}x{self.merge} of {self.patch_size}; plan the corpus with --patch-size {self.patch_size}, or "
                    f"train on the clips themselves where the model does not join {MERGE}x{MERGE}"
                )
            self._hold(place, tokens)
        self._held.move_to_end(place)
        return tokens

    def options(self, media: Media, defaults: MediaOptions) -> dict:
        """The options that decide the tokens of this kind of media, all of them set."""
        given = {name: value for name, value in media.options.items() if name != "timestamp_decimals"}
        try:
            options = MediaOptions(**override(asdict(defaults), given))
        except (ModelError, TypeError) as error:
            raise TrainingError(f"{media.path}: its options {given} do not fit together ({error})") from error
        if media.kind == "video":
            return asdict(options)
        bounds = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}
        return {name: getattr(options, name) or self.image_pixels[bound] for name, bound in bounds.items()}

    def _digest(self, path: str) -> str:
        """SHA-256 of a file's content, read again only when its size or time of change differs."""
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever, a device never ends
                raise VideoError(path, "cannot be read (it is a folder or a device)", "check the path and name a file")
            known = (path, status.st_size, status.st_mtime_ns)
            if known not in self._digests:
                with open(path, "rb") as file:
                    self._digests[known] = hashlib.file_digest(file, "sha256").hexdigest()
        except VideoError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
            cause = error.strerror if isinstance(error, OSError) else error
            raise VideoError(path, f"cannot be read ({cause})", "check the path") from error
        return self._digests[known]

    def _make(self, media: Media, options: dict) -> VisualTokens:
        try:
            if media.kind == "image":
                return image_tokens(media.path, patch_size=self.patch_size, merge=self.merge, **options)
            return video_tokens(media.path, MediaOptions(**options), None, self.patch_size, self.workers, self.merge)
        except VideoError:
            raise
        except Ov2Error as error:  # a file that is no image, options that contradict each other
            raise TrainingError(f"{media.path}: {str(error).removeprefix(f'{media.path}: ')}") from error

    def _hold(self, key: str, tokens: VisualTokens) -> None:
        self._held[key] = tokens
        self._bytes += _size(tokens)
        while self._bytes > self._limit and len(self._held) > 1:
            self._bytes -= _size(self._held.popitem(last=False)[1])


def _size(tokens: VisualTokens) -> int:
    return sum(getattr(tokens, name).nbytes for name in ARRAYS)


def _write(path: Path, tokens: VisualTokens) -> None:
    body = entry("tokens", Sample("", (), (Media("image", ""),)), [tokens], "png")
    with whole_file(path, sync=False) as file:
        file.write(hashlib.sha256(body).digest())  # tells a torn entry, also after a power cut
        file.write(body)


def _read(path: Path) -> VisualTokens | None:
    """An entry, or None if there is no complete one."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    whole = hashlib.sha256(memoryview(raw)[DIGEST:]).digest() == raw[:DIGEST]
    return read_tokens(f"{path}#{DIGEST}.0") if whole else None

"""The plan of a corpus: which samples stand in which shard, fixed by their content and the configuration.

corpus.json            configuration, counts, lengths, expected tokens
members/NNNNN.jsonl    the samples of a shard, each with its key
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..errors import MediaError, Ov2Error, TrainingError
from ..files import whole_folder
from ..geometry import MAX_PIXELS, canvas_size
from ..samples.cache import FRONT_ENDS
from ..samples.media import MediaOptions
from ..samples.readers import CORPUS
from ..samples.report import Report
from ..samples.sample import Media, Sample
from ..samples.shards import PICTURES
from ..video.stream import open_video
from .inputs import input_samples

FORMAT = "ov2-corpus/1"
SHARD_SIZE = 100  # our choice: samples; 32 canvases each are some 500 MB, and a killed worker loses at most so many
BOUNDS = (30, 60, 180, 900)  # published: seconds, the upper ends of the paper's four buckets
PIECE = 1 << 20  # our choice: bytes at both ends of a file that stand for its content, which a plan cannot read whole
THREADS = 8  # our choice: files looked at together


@dataclass(frozen=True)
class Settings:
    """How a corpus is tokenized and cut.

    Attributes:
        options: of videos and images, where a sample's own say nothing.
        patch_size: pixels on a patch's side.
        picture: how canvases are stored, "png" (exact) or "jpg".
        shard_size: samples in a shard.
    """

    options: MediaOptions = field(default_factory=MediaOptions)
    patch_size: int = 14
    picture: str = "png"
    shard_size: int = SHARD_SIZE

    def __post_init__(self):
        if self.picture not in PICTURES or min(self.shard_size, self.patch_size) < 1:
            raise TrainingError("a corpus stores its canvases as png or jpg, and shards and patches have a size of 1 or more")

    def to_json(self) -> dict:
        """Plain values, with the version of the front ends that made the tokens."""
        return asdict(self) | {"front_ends": FRONT_ENDS}


def make_plan(place: str, folder: Path, settings: Settings, progress: Callable[[int, int], None] | None = None) -> dict:
    """Look at every sample, put them into shards and write the plan; what corpus.json holds.

    Args:
        place: see `input_samples`; or a folder with a plan, whose samples are planned again in another configuration.
        folder: to make. One that holds the same plan is left as it is.
        progress: called with (samples looked at, in all).

    Raises:
        TrainingError: no samples, or a folder that holds something else.
    """
    # 1. The samples: of another plan, or read and looked at
    report = Report(max_bad_share=1.0)
    if (Path(place) / CORPUS).is_file():
        other = load_plan(Path(place))
        rows = [row for number in range(other["shards"]) for row in members(Path(place), number)]
    else:
        samples = list(input_samples(place, folder.absolute().parent / f"{folder.name}-media", report))
        rows = _looked_at(samples, progress)
    # 2. The order is that of the keys, and a row that is there twice counts once
    unique = {row["key"]: row for row in sorted(rows, key=lambda row: row["key"])}
    rows = list(unique.values())
    if not rows:
        raise TrainingError(f"{place}: no sample to tokenize; the reasons are {report.to_json()['reasons']}")
    # 3. Counts and expectations
    configuration = settings.to_json()
    identity = hashlib.sha256(json.dumps([configuration, list(unique)], sort_keys=True).encode()).hexdigest()
    facts = [one for row in rows for one in row["facts"]]
    plan = {
        "format": FORMAT, "identity": identity, "settings": configuration, "samples": len(rows),
        "shards": -(-len(rows) // settings.shard_size), "seconds": sum(one.get("seconds", 0) for one in facts),
        "lengths": dict(Counter(length_name(one.get("seconds", 0)) for one in facts)),
        "expected_tokens": sum(
            _expected(one, item["options"], settings)
            for row in rows
            for item, one in zip(row["sample"]["media"], row["facts"], strict=True)
        ),
        "unreadable": sum("error" in one for one in facts), "rows": report.to_json(),
    }  # fmt: skip
    # 4. Written once
    if (folder / CORPUS).is_file() and load_plan(folder)["identity"] == identity:
        return load_plan(folder)
    with whole_folder(folder, TrainingError) as scratch:
        (scratch / "members").mkdir()
        for number in range(plan["shards"]):
            part = rows[number * settings.shard_size : (number + 1) * settings.shard_size]
            text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in part)
            (scratch / "members" / f"{number:05d}.jsonl").write_text(text)
        (scratch / CORPUS).write_text(json.dumps(plan, indent=1) + "\n")
    return plan


def load_plan(folder: Path) -> dict:
    """What corpus.json holds.

    Raises:
        TrainingError: no plan of this version in the folder.
    """
    try:
        plan = json.loads((folder / CORPUS).read_text())
    except (OSError, ValueError) as error:
        raise TrainingError(f"{folder} holds no plan of a corpus ({error}); make one with ov2 corpus plan") from error
    if not isinstance(plan, dict) or plan.get("format") != FORMAT:
        raise TrainingError(f"{folder} holds a plan of another format than {FORMAT}; make it again with ov2 corpus plan")
    return plan


def load_settings(plan: dict) -> Settings:
    """The settings of a plan.

    Raises:
        TrainingError: its tokens would be made by other front ends than those of this version.
    """
    values = dict(plan["settings"])
    if values.pop("front_ends") != FRONT_ENDS:
        raise TrainingError("the plan is of another version, whose tokens differ; plan the corpus again in another folder")
    return Settings(**values | {"options": MediaOptions(**values["options"])})


def members(folder: Path, number: int) -> Iterator[dict]:
    """The samples of a shard: {"key", "sample", "facts"}, the second as `Sample.to_json`, one of the third for each medium."""
    with (folder / "members" / f"{number:05d}.jsonl").open() as file:
        yield from map(json.loads, file)


def length_name(seconds: float) -> str:
    """The bucket of a length, such as "30-60 s"; a clip of exactly 30 s belongs to the one below."""
    low = max((bound for bound in BOUNDS if bound < seconds), default=0)
    high = next((bound for bound in BOUNDS if seconds <= bound), None)
    return f"{low}-{high} s" if high else f"over {low} s"


def _looked_at(samples: list[Sample], progress: Callable[[int, int], None] | None) -> list[dict]:
    """Each sample with its key and what its media are."""
    rows = []
    with ThreadPoolExecutor(THREADS) as pool:
        for sample, facts in zip(samples, pool.map(lambda one: list(map(look_at, one.media)), samples), strict=True):
            row = sample.to_json()
            content = [item | {"path": one["content"]} for item, one in zip(row["media"], facts, strict=True)]
            text = json.dumps(row | {"media": content}, sort_keys=True)
            rows.append({"key": hashlib.sha256(text.encode()).hexdigest()[:24], "sample": row, "facts": facts})
            if progress:
                progress(len(rows), len(samples))
    return rows


def look_at(media: Media) -> dict:
    """Size in bytes, digest of both ends, seconds, height and width of a file, or the "error" that opening it gives."""
    facts: dict = {"kind": media.kind, "content": media.path}
    if "://" in media.path:  # looked at when it is copied
        return facts
    try:
        size = os.path.getsize(media.path)
        with open(media.path, "rb") as file:
            head = file.read(PIECE)
            file.seek(max(size - PIECE, 0))
            digest = hashlib.sha256(str(size).encode() + head + file.read(PIECE)).hexdigest()
        facts |= {"bytes": size, "content": digest}
        if media.kind == "video":
            with open_video(media.path) as (container, stream):
                seconds = (container.duration or 0) / 1e6
                facts |= {"seconds": seconds, "height": stream.height, "width": stream.width}
    except (OSError, ValueError) as error:
        facts["error"] = error.cause if isinstance(error, MediaError) else str(error)
    return facts


def _expected(facts: dict, own: dict, settings: Settings) -> int:
    """Tokens that a video will become, its canvases as many as are asked for; 0 where its size is not known."""
    known = {name: value for name, value in own.items() if name in asdict(settings.options)}
    options = replace(settings.options, **known)
    if not facts.get("height"):
        return 0
    try:
        sides = canvas_size(facts["height"], facts["width"], options.max_pixels or MAX_PIXELS, settings.patch_size)
    except Ov2Error:
        return 0
    pictures = options.num_canvases or 32
    if options.video_backend == "frames":
        sampled = int(facts["seconds"] * options.fps) if options.fps else options.num_frames
        pictures = min(sampled or 64, options.num_frames or 64)
    return pictures * sides[0] * sides[1] // (2 * settings.patch_size) ** 2


def planned_sample(row: dict) -> Sample:
    """The sample of a row of `members`."""
    given = row["sample"]
    media = tuple(Media(item["type"], item["path"], item["options"]) for item in given["media"])
    turns = tuple((turn["role"], turn["content"]) for turn in given["messages"])
    return replace(Sample(given["id"], turns, media), task=given["task"], truth=given["truth"])

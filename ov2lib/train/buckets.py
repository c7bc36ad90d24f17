"""Length stratification: four buckets of video captions, the frames each gives, and the token budget that follows.

Bounds, clips, frames and caption tokens are the paper's token table (`ov2lib.reported`, table "caption_buckets"). Image tokens
are not copied from it but derived, clips × frames × 196, and stand beside the printed column.
"""

from dataclasses import dataclass

from .. import reported
from ..errors import TrainingError

FRAME_SIDE = 392  # published: pixels on the side of a training frame
TOKENS_PER_FRAME = (FRAME_SIDE // 28) ** 2  # published: patches of 14 pixels, merged 2x2, so 14 x 14 = 196 tokens
# Published: the buckets' names are their bounds in seconds; which stage trains on which.
_BOUNDS = {"30s": (0, 30), "30-60s": (30, 60), "60-180s": (60, 180), "10-15min": (600, 900)}
_STAGES = {"30s": (1,), "30-60s": (2,), "60-180s": (2,), "10-15min": (3, 4)}


@dataclass(frozen=True)
class Bucket:
    """One bucket of clips by length.

    Attributes:
        name: as in the paper's token table.
        low, high: bounds in seconds; a clip of exactly `high` seconds belongs here, one of `low` to the bucket below.
        clips: how many clips were captioned.
        frames: sampled per clip.
        caption_tokens: text tokens of all its captions.
        printed_image_tokens: the table's own column, to one decimal of a billion.
        stages: which of the four train on it.
    """

    name: str
    low: float
    high: float
    clips: int
    frames: int
    caption_tokens: float
    printed_image_tokens: float
    stages: tuple[int, ...]

    @property
    def image_tokens(self) -> int:
        """clips × frames × 196."""
        return self.clips * self.frames * TOKENS_PER_FRAME

    @property
    def caption_tokens_per_clip(self) -> float:
        """Mean length of a caption."""
        return self.caption_tokens / self.clips


def buckets() -> tuple[Bucket, ...]:
    """The four published buckets, shortest first."""
    values = {(row["bucket"], row["quantity"]): float(row["value"]) for row in reported.rows("caption_buckets")}
    return tuple(
        Bucket(
            name=name,
            low=low,
            high=high,
            clips=int(values[name, "clips"]),
            frames=int(values[name, "frames_per_clip"]),
            caption_tokens=values[name, "caption_tokens"] * 1e9,
            printed_image_tokens=values[name, "image_tokens"] * 1e9,
            stages=_STAGES[name],
        )
        for name, (low, high) in _BOUNDS.items()
    )


def bucket_of(seconds: float) -> Bucket:
    """The bucket whose frames a clip of this length gets: the shortest one that it does not exceed.

    *Assumed* where the paper has no bucket: clips of 3 to 10 minutes are treated as the 10–15 minute ones, and so are longer
    ones.

    Raises:
        TrainingError: a length that is not a positive number.
    """
    if not 0 < seconds < float("inf"):
        raise TrainingError(f"a clip of {seconds} seconds has no bucket; give its length in seconds, more than 0")
    known = buckets()
    return next((bucket for bucket in known if seconds <= bucket.high), known[-1])

"""The text the model reads: ChatML, and for every image, frame or codec run its time and its places for visual tokens.

image                `<|vision_start|>` + `<|image_pad|>`·K + `<|vision_end|>`
frames, "inference"  per frame `<1.2 seconds><|vision_start|>`…pads…`<|vision_end|>`, nothing between frames
frames, "training"   as codec
codec                per run of equal source t `<1.2 seconds><|vision_start|>`…pads…`<|vision_end|>` and a newline

Sampled frames are written one way in training and another at inference by the published code: an official mismatch, so both
forms are here under these names. Times have one decimal (two for JumpScore). They are presentation times; the published code
writes source frame index / fps, which is the same for a constant frame rate and far off for a variable one.
"""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import ModelError, VideoWarning
from ..tokens import VisualTokens

IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE_PLACEHOLDER = VISION_START + IMAGE_PAD + VISION_END
VIDEO_PLACEHOLDER = VISION_START + VIDEO_PAD + VISION_END
FRAMES_PROMPTS = ("inference", "training")
TIMESTAMPS = ("presentation", "published")
CLOCK = 0.002  # assumed: seconds; a clock of milliseconds (Matroska, FLV) and a rate measured with it are each up to one off
MAX_DECIMALS = 6  # assumed: microseconds
FAR_OFF = 0.05  # assumed: seconds; half of what one decimal tells

# ChatML as published; the assistant's words and <|im_end|>, which training supervises, stand inside {% generation %}.
CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8")

_PLACES = re.compile(rf"{re.escape(VISION_START)}\s*{re.escape(VIDEO_PAD)}\s*{re.escape(VISION_END)}|{re.escape(IMAGE_PAD)}")


def time_tag(seconds: float, decimals: int = 1) -> str:
    """`<1.2 seconds>`."""
    return f"<{seconds:.{decimals}f} seconds>"


def check_decimals(decimals: object) -> int:
    """The decimals of time tags.

    Raises:
        ModelError: no whole number from 0 to `MAX_DECIMALS`.
    """
    if not isinstance(decimals, int) or isinstance(decimals, bool) or not 0 <= decimals <= MAX_DECIMALS:
        raise ModelError(f"timestamp_decimals is {decimals!r}; use a whole number from 0 to {MAX_DECIMALS}")
    return decimals


def runs(tokens: VisualTokens) -> list[tuple[int, int]]:
    """(t, count) of every run of merged tokens with equal source frame t, in stream order; padding (t < 0) is left out.

    A merged token takes the t of the first patch of its block.

    Raises:
        ModelError: t decreases, so times in the prompt would run backwards.
    """
    t = tokens.patch_positions[tokens.merge_order][:: tokens.merge**2, 0]
    t = t[t >= 0]
    back = np.flatnonzero(np.diff(t) < 0)
    if len(back):
        place = int(back[0]) + 1
        raise ModelError(
            f"source frames go backwards: merged token {place} is of frame {t[place]}, the one before of frame {t[place - 1]}; "
            "place blocks in (t, row, col) order and groups in time order"
        )
    starts = np.flatnonzero(np.diff(t, prepend=-1))
    return [(int(t[a]), int(b - a)) for a, b in zip(starts, [*starts[1:], len(t)], strict=True)]


def source_seconds(tokens: VisualTokens, timestamps: str = "presentation") -> np.ndarray:
    """The time that a tag writes for each source frame, float64 [T] in seconds.

    Args:
        tokens: of a video.
        timestamps: "presentation", when a frame is shown (frame index / fps where that is the same within the precision of
            the file's clock, so that both rules round alike), or "published", frame index / fps for every file, as the
            released code does. That warns (`VideoWarning`) where it is more than 0.05 s off.

    Raises:
        ModelError: another rule; fps is not positive; a patch is of a frame that has no time.
    """
    if timestamps not in TIMESTAMPS:
        raise ModelError(f"timestamps is {timestamps!r}; use 'presentation' or 'published'")
    if not tokens.fps > 0:
        raise ModelError(f"fps is {tokens.fps}, so source frames have no times; make the tokens with a positive fps")
    count, last = len(tokens.frame_times), int(tokens.patch_positions[:, 0].max())
    if last >= count:
        raise ModelError(f"a patch is of source frame {last} and frame_times has {count}; give every source frame a time")
    published = np.arange(count) / tokens.fps
    off = float(np.abs(published - tokens.frame_times).max())
    if timestamps == "published" and off > FAR_OFF:
        warnings.warn(
            f"{tokens.source or 'video'}: the frame rate varies, so published time tags are up to {off:.1f} s off; use "
            "timestamps='presentation'",
            VideoWarning,
            stacklevel=2,
        )
    return published if timestamps == "published" or off <= CLOCK else tokens.frame_times


def visual_text(
    tokens: VisualTokens, frames_prompt: str = "inference", decimals: int = 1, timestamps: str = "presentation"
) -> str:
    """The text that stands for one image or video.

    Args:
        tokens: what the text stands for.
        frames_prompt: "inference" or "training", the form sampled frames take; codec and images have one form.
        decimals: of the seconds in a time tag.
        timestamps: "presentation" or "published", see `source_seconds`.

    Raises:
        ModelError: see `check_decimals`, `runs` and `source_seconds`.
    """
    check_decimals(decimals)
    if tokens.kind == "image":
        return VISION_START + IMAGE_PAD * tokens.num_tokens + VISION_END
    seconds = source_seconds(tokens, timestamps)
    newline = "" if tokens.kind == "frames" and frames_prompt == "inference" else "\n"
    return "".join(
        f"{time_tag(seconds[t], decimals)}{VISION_START}{IMAGE_PAD * count}{VISION_END}{newline}"
        for t, count in (_frames(tokens) if not newline else runs(tokens))
    )


def _frames(tokens: VisualTokens) -> list[tuple[int, int]]:
    """One run per frame, also where neighbours show the same source frame."""
    per_frame = tokens.num_tokens // len(tokens.canvases)
    t = tokens.patch_positions[:: per_frame * tokens.merge**2, 0]
    return [(int(frame), per_frame) for frame in t]


def places(text: str) -> list[str]:
    """What the text leaves places for, in order: "image" or "video" each."""
    return ["image" if match.group() == IMAGE_PAD else "video" for match in _PLACES.finditer(text)]


def expand(text: str, replacements: Iterator[str]) -> tuple[str, list[dict]]:
    """Write the visual texts into their places, in order.

    Returns:
        the expanded text, and the spans that grew, in the form transformers uses to find the assistant's tokens.
    """
    parts, spans, end, length = [], [], 0, 0
    for match in _PLACES.finditer(text):
        new = next(replacements)
        if match.group() == IMAGE_PAD:  # its <|vision_start|> and <|vision_end|> are in the text already
            new = new.removeprefix(VISION_START).removesuffix(VISION_END)
        parts += [text[end : match.start()], new]
        start = length + match.start() - end
        length, end = start + len(new), match.end()
        spans.append({"span": match.span(), "new_span": (start, length), "text": match.group(), "replacement": new})
    return "".join([*parts, text[end:]]), spans

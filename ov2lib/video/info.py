"""What a video file offers: its declared properties, and which codec signals can be had from it."""

from dataclasses import dataclass

import numpy as np

from .display import Display
from .source import Source


@dataclass(frozen=True)
class VideoInfo:
    """What a file declares, and what its packets say.

    Attributes:
        path, container, codec, pixel_format: names.
        width, height: of a frame as shown, in square pixels.
        display: how coded frames are shown, and their size as stored.
        fps: frames per second on average (frames / duration).
        constant_rate: all frame intervals agree within 1 ms plus a tick.
        duration: seconds from the first frame's time to the last one's end.
        start: time stamp of the first frame in seconds, as stored.
        frames, packets, key_frames: counts.
        has_audio: an audio stream lies beside.
        origins: where motion, residual, qp and bits come from, see `Source.origins`.
    """

    path: str
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    display: Display
    fps: float
    constant_rate: bool
    duration: float
    start: float
    frames: int
    packets: int
    key_frames: int
    has_audio: bool
    origins: dict[str, str]


def probe(source: Source) -> VideoInfo:
    """What this file declares and what its packets say."""
    packets, gaps = source.packets, np.diff(source.packets.frame_times)
    return VideoInfo(
        path=source.path,
        container=source.container,
        codec=source.codec,
        pixel_format=source.pixel_format,
        width=source.display.shown[1],
        height=source.display.shown[0],
        display=source.display,
        fps=packets.fps,
        constant_rate=not len(gaps) or float(np.ptp(gaps)) <= 1e-3 + 2 * packets.time_base,
        duration=packets.duration,
        start=float(packets.pts[packets.frame_packet[0]] * packets.time_base),
        frames=len(packets.frame_packet),
        packets=len(packets),
        key_frames=int(packets.key.sum()),
        has_audio=source.has_audio,
        origins=source.origins,
    )

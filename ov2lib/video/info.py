"""What a video file offers: its declared properties, and which codec signals can be had from it."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .decode import display_turns, has_vectors
from .stream import Packets, open_video, read_packets


@dataclass(frozen=True)
class VideoInfo:
    """What a file declares, and what its packets say.

    Attributes:
        path, container, codec, pixel_format: names.
        width, height: of a frame as shown, in pixels (after rotation).
        rotation: quarter turns counter-clockwise that bring a coded frame upright, 0 to 3.
        fps: frames per second on average (frames / duration).
        constant_rate: all frame intervals agree within 1 ms plus a tick.
        duration: seconds from the first frame's time to the last one's end.
        start: time stamp of the first frame in seconds, as stored.
        frames, packets, key_frames: counts.
        has_audio: an audio stream lies beside.
        vectors: stock FFmpeg exports motion vectors and quantisers for this codec.
    """

    path: str
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    rotation: int
    fps: float
    constant_rate: bool
    duration: float
    start: float
    frames: int
    packets: int
    key_frames: int
    has_audio: bool
    vectors: bool


def probe(path: str | os.PathLike, packets: Packets | None = None) -> VideoInfo:
    """What this file declares and what its packets say. Raises VideoError as `read_packets`."""
    packets = packets or read_packets(path)
    turns = display_turns(path, packets)
    with open_video(path) as (container, stream):
        context = stream.codec_context
        size = (context.width, context.height)
        gaps = np.diff(packets.frame_times)
        return VideoInfo(
            path=str(Path(path)),
            container=container.format.name,
            codec=context.codec.canonical_name,  # the decoder's own name may differ (av1 is read by libdav1d)
            pixel_format=context.pix_fmt or "unknown",
            width=size[turns % 2],
            height=size[1 - turns % 2],
            rotation=turns,
            fps=packets.fps,
            constant_rate=not len(gaps) or float(np.ptp(gaps)) <= 1e-3 + 2 * packets.time_base,
            duration=packets.duration,
            start=float(packets.pts[packets.frame_packet[0]] * packets.time_base),
            frames=len(packets.frame_packet),
            packets=len(packets),
            key_frames=int(packets.key.sum()),
            has_audio=bool(container.streams.audio),
            vectors=has_vectors(context.name, packets),
        )

"""A video file as all else here sees it: opened once, its packets listed, its properties known, before anything is decoded."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import av

from ..errors import VideoError
from .display import Display
from .stream import EXPORTS_VECTORS, LIMITS, REPAIR, Packets, list_packets, open_video


@dataclass(frozen=True, eq=False)
class Source:
    """One video file.

    Attributes:
        path: of the file.
        container, codec: FFmpeg's names of the format and of the coding (h264, av1 ..., whatever decoder reads it).
        pixel_format: of a decoded frame.
        packets: what the stream holds.
        display: how its pictures are shown.
        has_audio: an audio stream lies beside.
    """

    path: str
    container: str
    codec: str
    pixel_format: str
    packets: Packets
    display: Display
    has_audio: bool

    @classmethod
    def open(cls, path: str | os.PathLike) -> "Source":
        """Read the file through once: list its packets, and decode its first frame for what only that tells.

        Raises:
            VideoError: as `stream.read_packets`; or no frame can be decoded.
        """
        with open_video(path) as (container, stream):
            context, first = stream.codec_context, _First(path)
            packets = list_packets(path, container, stream, first.watch(container.demux(stream), context))
            if first.picture is None:
                raise VideoError(path, "no frame can be decoded from it", REPAIR)
            return cls(
                path=os.fsdecode(path),
                container=container.format.name,
                codec=context.codec.canonical_name,  # the decoder's own name may differ (av1 is read by libdav1d)
                pixel_format=context.pix_fmt or "unknown",
                packets=packets,
                display=Display.read(path, stream, first.picture),
                has_audio=bool(container.streams.audio),
            )

    @property
    def coded(self) -> tuple[int, int]:
        """(height, width) of a decoded frame in pixels, before it is turned."""
        return self.display.coded

    @property
    def vectors(self) -> bool:
        """Whether the stream carries vectors that stock FFmpeg exports (an all-intra stream has none)."""
        return self.codec in EXPORTS_VECTORS and bool((self.packets.kind != "I").any())


class _First:
    """Decodes packets that pass by until there is a picture."""

    def __init__(self, path):
        self.path, self.picture = path, None

    def watch(self, packets: Iterator[av.Packet], context: av.VideoCodecContext) -> Iterator[av.Packet]:
        context.options = LIMITS
        begun = False
        for packet in packets:
            begun |= packet.is_keyframe
            if begun and self.picture is None:
                try:
                    self.picture = next(iter(context.decode(packet)), None)
                except av.error.FFmpegError as error:
                    raise VideoError(self.path, f"its beginning is damaged ({error.strerror})", REPAIR) from error
            yield packet

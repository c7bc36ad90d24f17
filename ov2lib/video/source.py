"""A video file as all else here sees it: opened once, its packets listed, its properties known, before anything is decoded."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av

from ..errors import VideoError
from .damage import AGAIN, Damage
from .display import Display
from .listing import list_packets
from .packets import Packets
from .stream import EXPORTS_QUANTISERS, EXPORTS_VECTORS, LIMITS, coded_packets, decode_packet, open_video, still_image

Progress = Callable[[int, int], None]
REPORT_EVERY = 256  # packets
NO_SIZE = "its frame size is unknown or impossible (damaged or truncated)"


@dataclass(frozen=True, eq=False)
class Source:
    """One video file.

    Attributes:
        path: of the file.
        container, codec: FFmpeg's names of the format and of the coding (h264, av1 ..., whatever decoder reads it).
        pixel_format: of a decoded frame.
        packets: what the stream holds.
        display: how its pictures are shown.
        stream: number of the video stream among the file's streams.
        streams: a line on each stream of the file.
        has_audio: an audio stream lies beside.
        preamble: of an H.264 stream, the message in which x264 names its version (older ones need it to be decoded); else b"".
        damage: what is wrong with the file, as far as seen.
    """

    path: str
    container: str
    codec: str
    pixel_format: str
    packets: Packets
    display: Display
    stream: int
    streams: tuple[str, ...]
    has_audio: bool
    preamble: bytes
    damage: Damage

    @classmethod
    def open(
        cls, path: str | os.PathLike, stream: int | None = None, damaged: str = "skip", progress: Progress | None = None
    ) -> "Source":
        """Read the file through once: list its packets, and decode its first frame for what only that tells.

        Args:
            stream: number of the stream among all streams of the file; None takes the one that FFmpeg thinks best, never
                an attached picture.
            damaged: "skip" goes on without what is damaged and warns of it once (`VideoWarning`), "refuse" raises.
            progress: called with (bytes read, bytes in all).

        Raises:
            VideoError: as `stream.open_video` and `listing.list_packets`; or damage, where it is refused.
            Ov2Error: another policy than these two.
        """
        # 1. Open the file, and decode its first picture while the packets go by
        damage = Damage(os.fsdecode(path), damaged)
        with open_video(path, stream) as (container, video):
            context, first = video.codec_context, _First()
            pixel_format = context.pix_fmt
            coded = first.watch(coded_packets(container, video, damage), context, os.path.getsize(path), progress)
            # 2. List all packets; refuse what holds no moving picture
            try:
                packets = list_packets(container, video, coded, damage)
            except VideoError as error:
                raise error if first.picture or context.width else VideoError(path, NO_SIZE, AGAIN) from error
            if container.format.name.endswith("_pipe") and len(packets) == 1:  # several images in one file are a video
                raise still_image(path)
            if first.picture is None:
                raise VideoError(path, "no frame can be decoded from it" if context.width else NO_SIZE, AGAIN)
            # 3. What the stream and its first picture tell
            codec = context.codec.canonical_name  # the decoder's own name may differ (av1 is read by libdav1d)
            streams, has_audio = tuple(_describe(s) for s in container.streams), bool(container.streams.audio)
            return cls(
                path=damage.path, container=container.format.name, codec=codec,
                pixel_format=pixel_format or first.picture.format.name, packets=packets,
                display=Display.read(path, video, first.picture), stream=video.index, streams=streams, has_audio=has_audio,
                preamble=first.preamble if context.name == "h264" else b"", damage=damage,
            )  # fmt: skip

    @property
    def coded(self) -> tuple[int, int]:
        """(height, width) of a decoded frame in pixels, before it is turned."""
        return self.display.coded

    @property
    def intra(self) -> bool:
        """Nothing is predicted: all frames are key frames."""
        return not (self.packets.kind != "I").any()

    @property
    def exported(self) -> bool:
        """FFmpeg exports the stream's own vectors, and with most codecs its quantisers (else: see `proxy`)."""
        return self.codec in EXPORTS_VECTORS

    @property
    def origins(self) -> dict[str, str]:
        """Where each signal comes from: "exported" (FFmpeg, from the bitstream, or worked out from that), "proxy", "none"."""
        bits = "exported" if self.exported else "proxy"
        motion = "proxy" if self.intra else bits
        qp = "exported" if self.codec in EXPORTS_QUANTISERS else "none"
        return {"motion": motion, "residual": motion, "qp": qp, "bits": bits}


def read_packets(path: str | os.PathLike) -> Packets:
    """The packets of a file; see `Source.open`."""
    return Source.open(path).packets


class _First:
    """The first picture of a stream, decoded from packets that pass by, and the message of x264 in the first packet."""

    picture, preamble = None, b""

    def watch(
        self, packets: Iterator[av.Packet], context: av.VideoCodecContext, total: int, progress: Progress | None
    ) -> Iterator[av.Packet]:
        """The packets as they are; `progress` hears how many of the file's `total` bytes they reach."""
        context.options = LIMITS | {"flags": "+unaligned"}  # as `decode` does, for the same size
        for number, packet in enumerate(packets):
            if number == 0:
                self.preamble = _x264_version(bytes(packet))
            if self.picture is None:
                self.picture = next(iter(decode_packet(context, packet)[0]), None)
            if progress and number % REPORT_EVERY == 0:
                progress(max(packet.pos or 0, 0), total)
            yield packet
        if self.picture is None:
            self.picture = next(iter(decode_packet(context, None)[0]), None)
        if progress:
            progress(total, total)


def _x264_version(packet: bytes) -> bytes:
    """The packet up to the end of the unit that names x264's version, b"" where there is none."""
    at = packet.find(b"x264 - core ")
    return packet[: packet.index(b"\x80", at) + 1] if at >= 0 and b"\x80" in packet[at:] else b""


def _describe(stream: av.stream.Stream) -> str:
    """Number, type, codec and, of video, size; or what else it is."""
    context = stream.codec_context
    facts = [stream.type or "unknown", context.codec.canonical_name if context else "unknown codec"]
    if stream.type == "video" and context:
        facts.append(f"{context.width}x{context.height}")
        if stream.disposition & av.stream.Disposition.attached_pic:
            facts.append("an attached picture")
    return f"{stream.index}: {', '.join(facts)}"

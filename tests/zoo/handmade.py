"""Streams that no encoder inside PyAV writes: pictures in separate fields, and MPEG-4 with packed B-frames."""

import io
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
from PIL import ExifTags, Image

from .kit import FPS, FRAMES, Specimen, good, picture, write

FIELD_SIZE = (32, 32)


def golomb(value: int) -> str:
    """ue(v) of the H.264 standard, as a string of bits."""
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def nal_unit(head: int, bits: str) -> bytes:
    """A NAL unit behind its start code; `head` is its first byte, `bits` its payload without the stop bit."""
    bits += "1" + "0" * (-(len(bits) + 1) % 8)
    payload, zeros = bytearray(), 0
    for byte in int(bits, 2).to_bytes(len(bits) // 8, "big"):
        if zeros >= 2 and byte <= 3:
            payload.append(3)  # so that no start code appears inside
            zeros = 0
        payload.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return b"\0\0\0\1" + bytes([head]) + bytes(payload)


def _field(index: int, bottom: bool, pixels: np.ndarray) -> bytes:
    """One field of uncompressed macroblocks (I_PCM); I slices in the first of six pictures, P slices after."""
    inter, idr = index % 6 > 0, index == 0 and not bottom
    height, width = FIELD_SIZE
    planes = np.split(pixels.reshape(-1), [height * width, height * width * 5 // 4])
    luma, blue, red = (p.reshape(s, -1)[bottom::2] for p, s in zip(planes, (height, height // 2, height // 2), strict=True))
    bits = golomb(0) + golomb(5 if inter else 7) + golomb(0) + f"{index % 16:04b}" + "1" + str(int(bottom))
    bits += golomb(0) if idr else ""
    bits += ("00" if inter else "") + ("00" if idr else "0") + golomb(0) + golomb(1)  # lists, marking, quantiser, no deblocking
    for x in range(0, width, 16):
        bits += golomb(0) + golomb(30) if inter else golomb(25)
        bits += "0" * (-len(bits) % 8)
        for samples in (luma[:, x : x + 16], blue[:, x // 2 : x // 2 + 8], red[:, x // 2 : x // 2 + 8]):
            bits += "".join(f"{max(1, value):08b}" for value in samples.ravel())
    return nal_unit(0x65 if idr else 0x61, bits)


def _fields(folder, name: str, stamps: int) -> Specimen:
    """Write fields into a container; stamps: times per frame, one for each field or the first; 0 puts both in one packet."""
    height, width = FIELD_SIZE
    sequence = f"{77:08b}{0:08b}{30:08b}" + golomb(0) + golomb(0) + golomb(2) + golomb(1) + "0"  # Main profile, level 3
    sequence = nal_unit(0x67, sequence + golomb(width // 16 - 1) + golomb(height // 32 - 1) + "00100")
    head = sequence + nal_unit(0x68, golomb(0) * 2 + "00" + golomb(0) * 3 + "000" + golomb(0) * 3 + "100")
    path, tick = folder / name, Fraction(1, 2 * FPS)
    packets = []
    for index in range(FRAMES):
        frame = av.VideoFrame.from_ndarray(picture(index, FIELD_SIZE), "rgb24").reformat(format="yuv420p").to_ndarray()
        fields = [_field(index, bottom, frame) for bottom in (False, True)]
        fields[0] = head * (index == 0) + fields[0]
        for half, data in enumerate(fields if stamps else [b"".join(fields)]):
            packets.append((data, 2 * index + half if half < max(stamps, 1) else None, index % 6 == 0))
    bare = folder / "bare.h264"
    bare.write_bytes(b"".join(data for data, _, _ in packets))
    with av.open(str(bare)) as source, av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for data, stamp, key in packets:
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.pts, packet.dts, packet.is_keyframe = stream, tick, stamp, stamp, key
            container.mux(packet)
    times = tuple(index / FPS for index in range(FRAMES))
    return Specimen("", path, "", FRAMES, times, 0.0, FIELD_SIZE)


@good
def h264_fields_ts(folder):
    """H.264 in separate fields, each a packet with a time of its own, in a transport stream."""
    return _fields(folder, "fields.ts", 2)


@good
def h264_fields_sparse_ts(folder):
    """H.264 in separate fields, a packet each, of which only a frame's first has a time, in a transport stream."""
    return _fields(folder, "fields_sparse.ts", 1)


@good
def h264_fields_mkv(folder):
    """H.264 in separate fields, both in one packet, in Matroska."""
    return _fields(folder, "fields.mkv", 0)


@good
def mpeg4_packed(folder):
    """MPEG-4 in AVI as DivX packed it: a P- and a B-frame share a packet, an empty picture fills the next one."""
    source = write(folder / "plain.avi", "mpeg4", {"bf": "1", "g": "250"}, frames=13)
    with av.open(str(source.path)) as container:
        plain = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    at = plain[0].index(b"\0\0\1\xb6")
    packets = [plain[0][:at] + b"\0\0\1\xb2DivX503b1393p" + plain[0][at:]]
    for p_frame, b_frame in zip(plain[1::2], plain[2::2], strict=True):
        packets += [p_frame + b_frame, b"\0\0\1\xb6\x53\xc0"]
    path = folder / "packed.avi"
    with av.open(str(source.path)) as template, av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream_from_template(template.streams.video[0])
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, FPS), number, number
            packet.is_keyframe = number == 0
            container.mux(packet)
    return replace(source, path=path, start=None, stamped=False)


@good
def mjpeg_exif(folder):
    """Motion JPEG in MOV, turned a quarter clockwise by Exif data in each picture; PyAV 18 has no name for such data."""
    whole = write(folder / "plain.mov", "mjpeg", pix_fmt="yuvj420p")
    exif, path = Image.Exif(), folder / "exif.mov"
    exif[ExifTags.Base.Orientation] = 6
    with av.open(str(whole.path)) as template, av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream_from_template(template.streams.video[0])
        for number in range(FRAMES):
            Image.fromarray(picture(number)).save(data := io.BytesIO(), "JPEG", quality=90, exif=exif)
            packet = av.Packet(data.getvalue())
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, FPS), number, number
            packet.duration, packet.is_keyframe = 1, True
            container.mux(packet)
    return replace(whole, path=path, rotation=-90)

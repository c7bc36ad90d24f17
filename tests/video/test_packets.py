"""Packets belong to the right frames, whatever the codec, the container and the order, without decoding them."""

import av
import numpy as np
import pytest
import zoo
from zoo.handmade import golomb, nal_unit

from ov2lib.video.headers import Bits, Header, header_reader
from ov2lib.video.source import read_packets


def decoded(path) -> list[tuple[int, str]]:
    """(number of its packet, kind) of each frame as shown: every packet carries its number through the decoder."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.copy_opaque = "NONE", True
        for number, packet in enumerate(container.demux(stream)):
            if packet.size:
                packet.opaque = (number,)
            for frame in stream.codec_context.decode(packet if packet.size else None):
                frames.append((frame.opaque[0], "?IPB"[int(frame.pict_type)]))
    return frames


def sizes(path) -> list[int]:
    with av.open(str(path)) as container:
        return [packet.size for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("name", zoo.GOOD)
def test_every_frame_has_its_packet_time_and_kind(name, specimen):
    known = specimen(name)
    packets = read_packets(known.path)
    frames = decoded(known.path)
    assert packets.frame_packet.tolist() == [number for number, _ in frames]
    np.testing.assert_allclose(packets.frame_times, known.times, atol=6e-4)  # Matroska counts milliseconds
    assert packets.size.tolist() == sizes(known.path)
    if name != "mpeg4_packed":  # whose P packets begin with a B picture's partner
        told = zip(packets.kind[packets.frame_packet], frames, strict=True)
        assert all(kind in ("?", shown) for kind, (_, shown) in told)
    assert packets.kind[packets.key].tolist() == ["I"] * packets.key.sum() or "intra_refresh" in name or "fields" in name


@pytest.mark.parametrize("name", zoo.GOOD)
def test_frame_sizes_add_up(name, specimen):
    known = specimen(name)
    packets = read_packets(known.path)
    assert len(packets.frame_sizes) == known.frames
    if name == "edit_list":  # the pictures before the edit count to no frame
        assert packets.frame_sizes.sum() == packets.size[packets.frame >= 0].sum() < packets.size.sum()
    else:
        assert packets.frame_sizes.sum() == packets.size.sum()


@pytest.mark.parametrize("name", ["h264_p_only", "h264_b_frames", "hevc", "vp9", "mpeg4"])
def test_frame_sizes_are_those_of_their_packets(name, specimen):
    path = specimen(name).path
    expected = [sizes(path)[number] for number, _ in decoded(path)]
    assert read_packets(path).frame_sizes.tolist() == expected


def test_a_hidden_picture_counts_to_the_next_shown_one(specimen):
    path = specimen("vp8_hidden").path
    packets, plain = read_packets(path), sizes(path)
    assert packets.frame.tolist() == [0, 1, 2, 3, -1, 4, 5, 6, 7, 8, 9, 10]
    assert packets.owner.tolist() == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10]
    assert packets.frame_sizes.tolist() == [*plain[:4], plain[4] + plain[5], *plain[6:]]


@pytest.mark.parametrize("name", ["h264_fields_ts", "h264_fields_sparse_ts"])
def test_two_fields_make_one_frame(name, specimen):
    path = specimen(name).path
    packets = read_packets(path)
    assert packets.frame.tolist() == np.repeat(np.arange(zoo.FRAMES), 2).tolist()
    assert packets.frame_sizes.tolist() == np.reshape(sizes(path), (-1, 2)).sum(axis=1).tolist()
    assert packets.duration == pytest.approx(zoo.FRAMES / zoo.FPS)


@pytest.mark.parametrize("name", zoo.GOOD)
def test_duration_is_that_of_the_frames(name, specimen):
    known = specimen(name)
    packets = read_packets(known.path)
    assert packets.duration == pytest.approx(known.times[-1] + 1 / zoo.FPS, abs=2e-3)
    assert packets.fps == pytest.approx(known.frames / packets.duration)


@pytest.mark.parametrize("name", zoo.GOOD)
def test_decoding_may_start_at_every_clean_packet(name, specimen):
    """Clean packets are key frames, the first key frame among them, and nothing of their segments is shown before them."""
    packets = read_packets(specimen(name).path)
    assert packets.clean[np.argmax(packets.key)] and not (packets.clean & ~packets.key).any()
    for segment, start in enumerate(np.flatnonzero(packets.clean)):
        later = packets.frame[packets.segment >= segment]
        assert later[later >= 0].min() == packets.frame[start] or name == "edit_list"


def test_leading_pictures_of_an_open_gop_belong_to_the_segment_before(specimen):
    for name in ("h264_open_gop", "hevc_open_gop"):
        packets = read_packets(specimen(name).path)
        assert packets.key.sum() == packets.clean.sum() == 3
        leading = packets.segment < np.cumsum(packets.clean) - 1
        assert leading.sum() == 4 and (packets.kind[leading] != "I").all()


def test_where_decoding_may_not_start(specimen):
    assert read_packets(specimen("h264_intra_refresh").path).clean.sum() == 1  # recovery points take time to recover
    assert read_packets(specimen("h264_b_frames").path).clean.sum() == 2


@pytest.mark.parametrize("name", ["h264_b_pyramid", "hevc"])
def test_pictures_that_nothing_refers_to_can_be_left_out(name, specimen):
    """Decoding without them gives the others unchanged."""
    path = specimen(name).path
    packets = read_packets(path)
    assert 0 < (~packets.reference).sum() < len(packets) // 2 + 2

    def pictures(keep):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.codec_context.copy_opaque = "NONE", True
            coded = [packet for packet in container.demux(stream) if packet.size]
            out = {}
            for number, packet in enumerate([*coded, None]):
                if packet is None or keep[number]:
                    if packet is not None:
                        packet.opaque = (number,)
                    out |= {f.opaque[0]: f.to_ndarray().tobytes() for f in stream.codec_context.decode(packet)}
            return out

    whole, fewer = pictures(np.ones(len(packets), bool)), pictures(packets.reference)
    assert set(fewer) == set(np.flatnonzero(packets.reference)) and all(whole[k] == fewer[k] for k in fewer)


def test_bits_are_read_as_the_standard_writes_them():
    bits = Bits(bytes([0b1_010_011_0, 0b0100_0010, 0b1_0000000]))
    assert [bits.golomb() for _ in range(4)] == [0, 1, 2, 3]
    assert bits.read(3) == 0b001 and bits.read(2) == 0b01
    assert bits.read(40) == 0 and bits.golomb() == 0  # nothing is left


@pytest.mark.parametrize(
    "codec, data, header",
    [
        ("vp8", b"\x10", Header("I")),
        ("vp8", b"\x11", Header("P")),
        ("vp8", b"\x01", Header("P", shown=False)),
        ("vp9", bytes([0b10_00_0_0_1_0, 0]), Header("I")),
        ("vp9", bytes([0b10_00_0_1_1_0, 0]), Header("P")),
        ("vp9", bytes([0b10_00_0_1_0_0, 0]), Header("P", shown=False)),
        ("vp9", bytes([0b10_00_0_1_0_0, 0xC1]), Header("P")),  # a superframe: a shown picture follows
        ("vp9", bytes([0b10_00_1_000, 0]), Header("P", reference=False)),  # only shows a picture that was decoded before
        ("mpeg4", b"\0\0\1\xb6\x10", Header("I")),
        ("mpeg4", b"\0\0\1\xb0junk\0\0\1\xb6\x90", Header("B", reference=False)),
        ("h264", b"\0\0\0\1\x09\xf0\0\0\1\x65\x88\x80", Header("I", clean=True)),
        ("h264", b"\0\0\1\x01\x9e", Header("B", reference=False, clean=False)),
        ("h264", b"\0\0\1\x06\x06\x01\x84\0\0\1\x61\x88", Header("I", clean=True)),  # recovery at once
        ("h264", b"\0\0\1\x06\x06\x01\x24\0\0\1\x61\x9a", Header("P", clean=False)),  # recovery after some frames
        ("hevc", b"\0\0\1\x26\x01\xac", Header("I", clean=True)),
        ("hevc", b"\0\0\1\x00\x01\xd0", Header("?", reference=False, clean=False)),
        ("theora", b"anything", Header()),
    ],
)  # fmt: skip
def test_headers(codec, data, header):
    assert header_reader(codec, None)(memoryview(data)) == header


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg4", "vp8", "vp9", "av1"])
def test_a_packet_that_says_nothing_is_no_error(codec):
    read = header_reader(codec, b"\x01" * 30)
    assert read(memoryview(b"")).shown
    assert all(isinstance(read(memoryview(bytes(n) + b"\1" * m)), Header) for n in range(5) for m in range(5))


def test_leading_pictures_behind_a_splice_are_hidden():
    """HEVC: skipped leading pictures (type 8, 9) behind an entry point that follows an end of sequence are not shown."""
    read = header_reader("hevc", None)

    def unit(kind):
        return memoryview(b"\0\0\1" + bytes([kind << 1, 1, 0x80]))

    shown = [read(unit(kind)).shown for kind in (21, 9, 1, 21, 9, 36, 21, 9, 19, 9)]
    assert shown == [True, False, True, True, True, True, True, False, True, True]


def parameter_set(profile: int, middle: str, whole_frames: bool) -> bytes:
    """An H.264 sequence parameter set; `middle` stands between its id and the number of references."""
    bits = f"{profile:08b}" + f"{0:016b}" + golomb(0) + middle + golomb(1) + "0" + golomb(0) * 2 + str(int(whole_frames))
    return nal_unit(0x67, bits)


SCALING = "1" + "1" + golomb(2) + golomb(0) * 15 + "1" + golomb(16) + "0" * 6  # one list in full, one that stops, six left out


@pytest.mark.parametrize(
    "profile, middle, plane",
    [
        (77, golomb(0) * 3, ""),  # 4 bits of frame number, order from its count
        (66, golomb(0) + golomb(1) + "0" + golomb(1) + golomb(2) + golomb(3) + golomb(4) * 3, ""),  # order from a cycle
        (100, golomb(1) + golomb(0) * 2 + "0" + SCALING + golomb(0) + golomb(2), ""),
        (244, golomb(3) + "1" + golomb(2) * 2 + "0" + "0" + golomb(0) + golomb(2), "00"),  # three separate planes
    ],
)
def test_fields_are_found_behind_every_parameter_set(profile, middle, plane):
    start = golomb(0) + golomb(7) + golomb(0) + plane  # first macroblock, I slice, parameter set
    slices = [nal_unit(0x61, start + number + rest) for number, rest in (("0101", "10"), ("0101", "11"), ("0110", "0"))]
    read = header_reader("h264", None)
    fields = [read(memoryview(parameter_set(profile, middle, False) + data)).field for data in slices]
    assert fields == [(5, False), (5, True), None]
    assert read(memoryview(parameter_set(profile, middle, True) + slices[0])).field is None

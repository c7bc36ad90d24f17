"""Bytes of rows, tiles and slices: known from headers, never decoded, whatever the bytes."""

import logging
from functools import lru_cache

import av
import numpy as np
import pytest
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st

from ov2lib.video.bitstream import nal_units, obus, superframe
from ov2lib.video.marginals import Marginals, _Parts, _sized, marginals_reader

WIDE = (144, 1100)  # wide enough for four columns of tiles
STREAMS = {
    "hevc_rows.mp4": ("libx265", {"preset": "ultrafast", "x265-params": "wpp=1:ctu=32:log-level=none:info=0"}, (288, 352)),
    "hevc_rows.ts": ("libx265", {"preset": "ultrafast", "x265-params": "wpp=1:ctu=32:log-level=none:info=0"}, (288, 352)),
    "hevc_slices.mp4": (
        "libx265",
        {"preset": "ultrafast", "x265-params": "wpp=1:ctu=32:slices=2:log-level=none:info=0"},
        (288, 352),
    ),
    "h264_slices.mp4": ("libx264", zoo.x264(slices=4, bframes=2), (288, 352)),
    "mpeg2.ts": ("mpeg2video", {}, (288, 352)),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "tile-columns": "2", "tile-rows": "1"}, WIDE),
    "av1.mp4": ("libsvtav1", {"preset": "11", "svtav1-params": "tile-columns=2:tile-rows=1:lp=1"}, WIDE),
}
ONE_PIECE = {"h264.mp4": ("libx264", zoo.x264(), (144, 176)), "vp9.webm": ("libvpx-vp9", {"deadline": "realtime"}, (144, 176))}


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    folder = tmp_path_factory.mktemp("marginals")

    @lru_cache
    def make(name: str):
        codec, options, size = (STREAMS | {f"one_{k}": v for k, v in ONE_PIECE.items()})[name]
        return zoo.write(folder / name, codec, options, frames=6, size=size).path

    return make


def packets_of(path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def read(path, change=lambda data: data) -> list[tuple[int, Marginals | None]]:
    """(bytes, marginals) of each packet after `change`."""
    with av.open(str(path)) as container:
        reader, out = marginals_reader(container.streams.video[0]), []
        for original in container.demux(video=0):
            if original.size:
                packet = av.Packet(change(bytes(original)))
                packet.is_keyframe = original.is_keyframe
                out.append((packet.size, reader(packet)))
        return out


@pytest.mark.parametrize(
    "name, parts, unit",
    [
        ("hevc_rows.mp4", 9, 32), ("hevc_rows.ts", 9, 32), ("hevc_slices.mp4", 9, 32), ("h264_slices.mp4", 4, 16),
        ("mpeg2.ts", 18, 16), ("vp9.webm", 8, 64), ("av1.mp4", 8, 64),
    ],
)  # fmt: skip
def test_parts_make_up_the_packet(streams, name, parts, unit):
    found = read(streams(name))
    for size, marginals in found:
        if marginals is None:  # a packet of AV1 or VP9 that only shows a picture again
            assert size < 20
            continue
        assert len(marginals.size) == parts and marginals.unit == unit
        assert sorted(np.unique(marginals.part)) == list(range(parts))
        assert 0 <= size - marginals.size.sum() < 140 + size // 8  # headers, parameter sets
        assert marginals.profile.sum() == pytest.approx(8 * marginals.size.sum(), rel=1e-5)
    assert sum(marginals is not None for _, marginals in found) >= 4


def test_a_picture_in_one_piece_says_nothing(streams):
    for name in ONE_PIECE:
        assert {marginals for _, marginals in read(streams(f"one_{name}"))} == {None}


def test_bytes_lie_where_the_picture_changes(tmp_path):
    """Noise in the lower right corner: its row of HEVC, and its tile of VP9, hold nearly all bytes of each later picture."""
    for name in ("hevc_rows.mp4", "vp9.webm"):
        codec, options, size = STREAMS[name]
        rng, path = np.random.default_rng(0), tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, options=options)
            (stream.height, stream.width), stream.pix_fmt = size, "yuv420p"
            for _ in range(6):
                picture = zoo.picture(0, size).copy()
                picture[-30:, -30:] = rng.integers(0, 255, (30, 30, 1))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(stream.encode(None))
        for _, marginals in read(path)[1:]:
            if marginals is not None:
                assert marginals.size[-1] > 0.7 * marginals.size.sum()
                assert marginals.profile[-1, -1] == marginals.profile.max()


def test_reading_headers_leaves_the_log_as_it_was(streams, caplog):
    before = av.logging.get_level()
    with caplog.at_level(logging.DEBUG):
        read(streams("hevc_rows.mp4"))
    assert av.logging.get_level() == before and not caplog.records


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_packets_never_lie(streams, data):
    """Any bytes overwritten, cut or repeated: no error, and never more bytes than there are."""
    path = streams(data.draw(st.sampled_from(sorted(STREAMS))))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))

    def damage(packet: bytes) -> bytes:
        raw = bytearray(packet)
        for place in rng.integers(0, min(len(raw), 60), rng.integers(1, 6)):
            raw[place] = rng.integers(256)
        return bytes(raw[: rng.integers(1, len(raw) + 1)])

    for size, marginals in read(path, damage):
        if marginals is not None:
            assert marginals.size.min() >= 0 and marginals.size.sum() <= size
            assert marginals.part.max() < len(marginals.size)


# --- by hand --------------------------------------------------------------------------------------------------------


def test_tiles_and_rows_in_coding_order():
    """Two columns of tiles on 2x4 units, then the same with rows apart: a tile's rows come before the next tile's."""
    whole = _Parts((32, 64), 16, cols=[1]).marginals([(0, [5, 7])])
    assert whole.part.tolist() == [[0, 1, 1, 1], [0, 1, 1, 1]] and whole.size.tolist() == [5, 7]
    rows = _Parts((32, 64), 16, cols=[1], by_row=True).marginals([(0, [1, 2, 3, 4])])
    assert rows.part.tolist() == [[0, 2, 2, 2], [1, 3, 3, 3]]
    assert rows.profile.tolist() == [[8, 8, 8, 8], [16, *[np.float32(32 / 3)] * 3]]


def test_slices_begin_in_the_middle_of_a_row():
    slices = _Parts((32, 64), 16).marginals([(0, [10]), (3, [20]), (6, [5])])
    assert slices.part.tolist() == [[0, 0, 0, 1], [1, 1, 2, 2]]
    by_row = _Parts((32, 64), 16, by_row=True).marginals([(0, [10]), (3, [20, 7])])
    assert by_row.part.tolist() == [[0, 0, 0, 1], [2, 2, 2, 2]]
    miscounted = _Parts((32, 64), 16, by_row=True).marginals([(0, [10]), (3, [20])])  # a row is missing: one part for both
    assert miscounted.part.tolist() == [[0, 0, 0, 1], [1, 1, 1, 1]]


def test_slices_that_cannot_be_are_not_believed():
    parts = _Parts((32, 64), 16)
    assert parts.marginals([]) is None and parts.marginals([(0, [9])]) is None
    assert parts.marginals([(1, [9]), (4, [9])]) is None and parts.marginals([(0, [9]), (0, [9])]) is None
    assert parts.marginals([(0, [9]), (4, [-1])]) is None


def test_fit_keeps_the_sum_and_obeys_the_parts():
    marginals = Marginals(np.array([[0, 0], [1, 1]]), 32, np.array([30, 10]))
    bits = np.zeros((4, 4), np.float32)
    bits[0, 0], bits[3, 3] = 60, 20
    fitted = marginals.fit(bits, (16, 16))
    assert fitted.sum() == pytest.approx(80, rel=1e-5) and fitted[:2].sum() == pytest.approx(60, rel=1e-5)
    assert fitted[0, 0] > 50 and fitted.min() > 0
    shifted = Marginals(np.array([[0], [1]]), 24, np.array([1, 1])).fit(np.ones((3, 1), np.float32), (16, 16))
    np.testing.assert_allclose(shifted.ravel(), [1.5, 0.75, 0.75], rtol=1e-5)  # the second cell's middle lies at 24


def test_sizes_in_front_of_chunks():
    assert _sized(b"\0\0\0\2ab\0\0\0\1cdef", 3, 4, "big", 0) == [2, 1, 3]
    assert _sized(b"\1abcde", 2, 1, "little", 1) == [2, 3]
    assert _sized(b"\xff", 2, 4, "big", 0)[-1] < 0  # impossible, and refused as a part


def test_pictures_of_a_vp9_packet():
    index = bytes([0b11000001, 3, 4, 0b11000001])  # two pictures, sizes in one byte
    assert superframe(b"abc" + b"defg" + index) == [3, 7]
    assert superframe(b"abcdefg") == [7]


def test_units_of_an_av1_packet():
    delimiter, frame = bytes([0b00010010, 0]), bytes([0b00110010, 0x83, 0x00]) + b"abc"
    assert list(obus(delimiter + frame)) == [(2, 0, 2), (6, 2, 8)]
    assert list(obus(bytes([0b00110000]) + b"abc")) == [(6, 0, 4)]  # without a size: to the end


def test_damaged_parameter_sets_only_cost_the_sizes_of_parts(specimen, tmp_path):
    """FFmpeg's parser takes them into the stream's head, where `trace_headers` refuses them."""
    data = bytearray(specimen("raw_hevc").path.read_bytes())
    start = data.index(b"\0\0\1\x42") + 5  # the sequence parameter set
    packets = 0
    for offset in range(start, start + 24):
        damaged = bytes(data[:offset]) + b"\xff" * 8 + bytes(8) + bytes(data[offset + 16 :])
        (tmp_path / "a.hevc").write_bytes(damaged)
        with av.open(str(tmp_path / "a.hevc")) as container:
            reader = marginals_reader(container.streams.video[0])
            for packet in container.demux(video=0):
                sizes = reader(packet)
                assert sizes is None or sizes.size.sum() <= packet.size
                packets += 1
    assert packets >= 24


def test_a_start_code_with_nothing_behind_it_is_no_unit():
    data = b"\x00\x00\x01\x00\x00\x01\x01\xab\x00\x00\x01"
    assert list(nal_units(memoryview(data), 0)) == [(6, 8)]

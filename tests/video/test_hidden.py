"""Pictures that travel hidden in VP9 and AV1 count to the frames that show them; what nothing depends on is left out."""

import av
import numpy as np
import pytest
import zoo
from av.bitstream import BitStreamFilterContext

from ov2lib import tokenize_video
from ov2lib.codec import analysis
from ov2lib.video.bitstream import obus
from ov2lib.video.decode import decode
from ov2lib.video.headers import header_reader
from ov2lib.video.hidden import Av1
from ov2lib.video.marginals import _captured_log, _headers
from ov2lib.video.source import Source, read_packets

LAYERS = (
    "ts_number_layers=2:ts_target_bitrate=100,200:ts_rate_decimator=2,1:ts_periodicity=2:ts_layer_id=0,1:ts_layering_mode=2"
)
LAYERED = {"deadline": "realtime", "cpu-used": "8", "error-resilient": "default", "b": "200k", "ts-parameters": LAYERS}


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    """VP9 in two layers of time: nothing refers to every second picture."""
    return zoo.write(tmp_path_factory.mktemp("layered") / "layers.webm", "libvpx-vp9", LAYERED, frames=80).path


def packets_of(path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def traced(path) -> list[list[dict]]:
    """Of each packet of an AV1 file, the fields of its frame headers as FFmpeg's own parser prints them."""
    with av.open(str(path)) as container:
        stream, out = container.streams.video[0], []
        with _captured_log():
            trace = BitStreamFilterContext("trace_headers", stream)
        for packet in container.demux(stream):
            if packet.size:
                with _captured_log() as lines:
                    trace.filter(packet)
                out.append([header for header in _headers(lines) if header.title == "Frame Header"])
        return out


def test_av1_headers_say_what_ffmpegs_parser_reads(specimen):
    """Which places a picture takes, and which one is shown again."""
    path = specimen("av1").path
    read, found = header_reader("av1", extradata(path)), []
    assert isinstance(read, Av1) and read.sequence is not None
    store, places = read.store, []
    read.store = lambda picture, mask: (places.append(mask), store(picture, mask))
    for data, headers in zip(packets_of(path), traced(path), strict=True):
        header, masks = read(memoryview(data)), [h.one("refresh_frame_flags", 255) for h in headers if "frame_type" in h]
        shows = [h for h in headers if h.one("show_existing_frame")]
        if not shows:
            assert places == masks
        assert header.reference == (any(masks) or bool(shows))
        assert (header.hidden is not None) == bool(shows)
        found.append(header)
        places.clear()
    assert sum(h.hidden is not None for h in found) >= 3 and sum(not h.reference for h in found) >= 2


def extradata(path) -> bytes:
    with av.open(str(path)) as container:
        return bytes(container.streams.video[0].codec_context.extradata)


def test_bytes_of_a_hidden_picture_count_to_the_frame_that_shows_it(specimen):
    """Worked out again from FFmpeg's parser: the pictures of eight places, and the bytes that each took."""
    path = specimen("av1").path
    expected, places = [], [None] * 8
    for data, headers in zip(packets_of(path), traced(path), strict=True):
        units = [(kind, end - start) for kind, start, end in obus(data)]
        expected.append(len(data))
        sizes = [size for kind, size in units if kind in (3, 6)]
        for header, size in zip(headers, sizes, strict=True):
            if header.one("show_existing_frame"):
                number, hidden = places[header.one("frame_to_show_map_idx")]
                expected[number] -= hidden
                expected[-1] += hidden
                continue
            mask = header.one("refresh_frame_flags", 255)
            picture = (len(expected) - 1, 0 if header.one("show_frame") else size)
            places = [picture if mask >> i & 1 else old for i, old in enumerate(places)]
    packets = read_packets(path)
    assert packets.frame_sizes.tolist() == [expected[number] for number in packets.frame_packet]
    assert packets.frame_sizes.sum() == packets.size.sum() and packets.frame_sizes.min() > 3


def test_hidden_pictures_of_vp9():
    """Superframe: a hidden picture for place 3 and one that is shown; later, place 3 is shown."""
    hidden = bytes([0b10_00_0_1_0_1, 0b0_0000100, 0b0_0000000]) + bytes(97)  # resilient, not intra, places 1 << 3
    shown = bytes([0b10_00_0_1_1_1, 0b00000000]) + bytes(18)
    index = bytes([0b110_00_001, len(hidden), len(shown), 0b110_00_001])
    read = header_reader("vp9", None)
    assert read(memoryview(hidden + shown + index)).hidden is None
    assert not read(memoryview(shown)).reference
    again = read(memoryview(bytes([0b10_00_1_011])))
    assert again.hidden == (2, 100) and not again.reference
    assert read(memoryview(bytes([0b10_00_1_011]))).hidden is None  # its bytes have been counted


@pytest.mark.parametrize("name", ["av1", "layered"])
def test_what_nothing_depends_on_can_be_left_out(name, specimen, layered):
    """The other pictures stay what they are, and the front ends do leave it out."""
    path = layered if name == "layered" else specimen(name).path
    source = Source.open(path)
    packets = source.packets
    assert 0 < (~packets.needed).sum() < len(packets)
    whole = {frame.index: frame.luma.tobytes() for frame in decode(source)}
    fewer = {frame.index: frame.luma.tobytes() for frame in decode(source, feed=packets.needed)}
    assert set(fewer) == set(packets.frame[packets.needed]) and all(whole[index] == fewer[index] for index in fewer)
    wanted = packets.frame[packets.needed][:-1]
    feed, _ = analysis.plan(analysis.on_canvas(source, 153_664, 14), np.sort(wanted), 1)
    assert not feed[~packets.needed].any()


def test_tokens_are_the_same_without_vp9s_droppable_packets(layered, monkeypatch):
    """Scores, canvases and positions, whether the decoder is given all packets or those that are needed."""
    fewer = [tokenize_video(layered, front_end, num_canvases=4) for front_end in ("paper", "released")]
    feeds, plan = [], analysis.plan

    def feed_all(*args):
        feed, jobs = plan(*args)
        feeds.append(int(feed.sum()))
        return np.ones_like(feed), jobs

    monkeypatch.setattr(analysis, "plan", feed_all)
    for few, front_end in zip(fewer, ("paper", "released"), strict=True):
        whole = tokenize_video(layered, front_end, num_canvases=4)
        assert np.array_equal(whole.canvases, few.canvases) and np.array_equal(whole.patch_positions, few.patch_positions)
    assert min(feeds) < len(read_packets(layered))  # some were left out before


@pytest.mark.parametrize("codec", ["vp9", "av1"])
def test_damaged_packets_are_no_error(codec, specimen, layered):
    path = specimen("av1").path if codec == "av1" else layered
    rng = np.random.default_rng(0)
    for _ in range(40):
        read = header_reader(codec, extradata(path) if codec == "av1" else None)
        for number, data in enumerate(packets_of(path)):
            damaged = bytearray(data)
            for place in rng.integers(0, min(len(damaged), 40), 3):
                damaged[place] = rng.integers(256)
            header = read(memoryview(bytes(damaged[: rng.integers(1, len(damaged) + 1)])))
            assert header.kind in "?IP" and (header.hidden is None or 0 < header.hidden[0] <= number)


def test_a_size_without_an_end_costs_linear_time():
    data = b"\x0a" + b"\x80" * 200_000  # at most eight bytes say a size; what follows is a unit without one
    assert list(obus(data)) == [(1, 0, 9), (0, 9, len(data))]

"""How tokens follow bits and events, on tokens made by hand; and positions checked against a real clip."""

import numpy as np
import pytest

import ov2lib
from kit import world
from kit.studies import coverage
from ov2lib.codec.gop import BIN_SECONDS
from ov2lib.video.source import read_packets


@pytest.fixture(scope="module")
def clip():
    return world.jump_rope(duration=3.0, size=(128, 224), fps=10)


@pytest.fixture(scope="module", params=["paper", "ippp", "released"])
def tokens(request, clip):
    return ov2lib.tokenize_video(clip.path, request.param, num_canvases=8)


def by_hand(frames, groups, edges, seconds=2.0):
    """Tokens with canvases of 2x2 blocks: `frames` gives the source frame of each block, canvas after canvas."""
    t = np.repeat(np.array(frames).reshape(-1, 2, 2), 2, axis=1).repeat(2, axis=2).reshape(-1)
    positions = np.where(t[:, None] < 0, -1, np.stack([t, t * 0, t * 0], axis=1))
    return ov2lib.VisualTokens(
        canvases=np.zeros((len(groups), 56, 56, 3), np.uint8), patch_positions=positions, group_ids=np.array(groups), fps=10.0,
        frame_times=np.arange(0, seconds, 0.1), config={"group_edges": edges},
    )  # fmt: skip


def test_block_times_and_whole_canvases():
    made = by_hand([[0, 0, 0, 0], [1, 2, 3, -1]], [0, 0], [0.0, 2.0])
    np.testing.assert_allclose(coverage.block_times(made), [[0, 0, 0, 0], [0.1, 0.2, 0.3, np.nan]])
    assert coverage.is_whole(made).tolist() == [True, False]
    np.testing.assert_allclose(coverage.packed_times(made), [0.1, 0.2, 0.3])


def test_measures_by_hand(clip):
    """Tokens placed exactly as the bytes are mismatch nothing; all in one place they miss nearly all of them."""
    packets = read_packets(clip.path)
    frames = len(packets.frame_times)
    kinds = packets.kind[packets.frame_packet]
    byte_share = np.bincount((packets.frame_times / BIN_SECONDS + 1e-9).astype(int), packets.frame_sizes * (kinds != "I"))
    byte_share = byte_share / byte_share.sum()
    one_place = by_hand([[1, 1, 1, 2]], [0], [0.0, packets.duration], frames / 10)
    measured = coverage.coverage(one_place, packets, events=(0.15, 2.5))
    assert measured.mismatch == pytest.approx(1 - byte_share[0])
    assert measured.unevenness == 0 and measured.events_seen == 0
    busy = by_hand([[1, 1, 1, 2]] * 3, [0, 0, 0], [0.0, packets.duration], frames / 10)
    assert coverage.coverage(busy, packets, events=(0.15, 2.5)).events_seen == 0.5
    assert np.isnan(coverage.coverage(busy, packets).events_seen)


def test_shares_sum_to_one_and_edges_tile_the_clip(tokens, clip):
    packets = read_packets(clip.path)
    token_share, byte_share = coverage.time_shares(tokens, packets)
    assert token_share.sum() == pytest.approx(1) and byte_share.sum() == pytest.approx(1)
    edges = coverage.group_edges(tokens, packets.duration)
    assert edges[0] == 0 and edges[-1] == pytest.approx(packets.duration)
    assert len(edges) == tokens.group_ids.max() + 2 and (np.diff(edges) > 0).all()


@pytest.mark.parametrize("front_end", ["paper", "ippp", "released"])
def test_every_canvas_lies_within_the_edges_of_its_group_also_across_pauses(front_end, specimen):
    path = specimen("screen_recording").path
    made, packets = ov2lib.tokenize_video(path, front_end, num_canvases=32), read_packets(path)
    edges = coverage.group_edges(made, packets.duration)
    assert np.unique(made.group_ids).tolist() == list(range(len(edges) - 1)) and len(edges) > 2 - (front_end == "released")
    assert edges[0] == 0 and edges[-1] == packets.duration and (np.diff(edges) > 0).all()
    times = coverage.block_times(made)
    times = np.where(np.isnan(times), edges[made.group_ids][:, None], times)
    assert (times >= edges[made.group_ids][:, None] - 1e-9).all() and (times < edges[made.group_ids + 1][:, None]).all()


def test_source_pixels_are_found_again_and_a_wrong_position_is_noticed(tokens):
    assert coverage.reread(tokens).all()
    moved = tokens.patch_positions.copy()
    wrong = np.flatnonzero(moved[:, 0] >= 0)[-1]
    moved[wrong, 0] = 0 if moved[wrong, 0] else len(tokens.frame_times) - 1
    altered = ov2lib.VisualTokens(**{**vars(tokens), "patch_positions": moved})
    assert np.flatnonzero(~coverage.reread(altered)).tolist() == [wrong]

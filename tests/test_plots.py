"""What the notebooks draw: the numbers behind the pictures, and where lines begin and end."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")
plt = pytest.importorskip("matplotlib.pyplot")

import ov2lib  # noqa: E402
from kit import world  # noqa: E402
from kit.plots import allocation as packing_plots  # noqa: E402
from kit.plots import canvases, hero, maps, timeline  # noqa: E402
from ov2lib import figures  # noqa: E402
from ov2lib.codec import gop, packing  # noqa: E402
from ov2lib.video.source import read_packets  # noqa: E402


@pytest.fixture(autouse=True)
def look():
    figures.style()
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def tokens():
    return ov2lib.tokenize_video(world.jump_rope(duration=3.0, size=(128, 224), fps=10).path, num_canvases=8)


def test_a_group_step_by_step_agrees_with_the_partition():
    cost = np.array([1, 3, 3, 2, 5, 1, 1, 4.0])
    bounds = {"min_bins": 2, "max_bins": 4, "valley": 1}
    first, second, last = gop.cut_bins(cost, 6, **bounds)
    rows = timeline.valley_rows(cost, 6, first, **bounds)
    assert [row["spent"] for row in rows] == [1, 4, 7, 9]
    assert [row["ready"] for row in rows] == [False, False, True, True]
    assert [row["window"] for row in rows] == [False, True, True, True]
    assert [row["role"] for row in rows] == ["", "", "trigger", "cut"]
    assert [row["role"] for row in timeline.valley_rows(cost, 6, second, **bounds)] == ["", "trigger + cut", ""]
    assert timeline.valley_rows(cost, 6, last, **bounds)[-1]["bin"] == 7


@pytest.mark.parametrize("group", [0, 1])
def test_a_drawn_group_shows_its_bars_and_quota(group):
    cost = np.array([1, 3, 3, 2, 5, 1, 1, 4.0])
    rows = timeline.valley_rows(cost, 6, gop.cut_bins(cost, 6, 2, 4, 1)[group], 2, 4, 1)
    _, (upper, lower) = plt.subplots(2, 1, sharex=True)
    timeline.draw_valley(upper, lower, rows, 6, 0.5, scale=1)
    assert [bar.get_height() for bar in lower.patches[: len(rows)]] == [row["cost"] for row in rows]
    assert upper.lines[0].get_ydata().tolist() == [row["spent"] for row in rows]


def test_packets_are_drawn_once_each_in_the_colour_of_their_kind(tokens):
    packets = read_packets(tokens.source)
    _, ax = plt.subplots()
    timeline.draw_packets(ax, packets)
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in ax.containers}
    assert sum(map(len, heights.values())) == len(packets.frame_times)
    assert sum(map(sum, heights.values())) == pytest.approx(packets.frame_sizes.sum() / 1e3)
    assert matplotlib.colors.to_hex(ax.containers[1][0].get_facecolor()) == figures.KINDS["P"].lower()


def test_allocation_rows_are_the_curve():
    weights, times = np.array([1.0, 1, 2, 4]), np.arange(4.0)
    _, (upper, lower) = plt.subplots(2, 1)
    rows = packing_plots.draw_allocation(upper, lower, weights, times, 2, canvases.time_colours(0, 3))
    assert [row["F"] for row in rows] == [0.125, 0.25, 0.5, 1.0]
    assert [row["canvas"] for row in rows] == [1, 1, 2, 2]


def test_shares_and_attenuation_count_what_packing_chooses():
    scores = np.random.default_rng(0).random((3, 12)).astype(np.float32)
    _, (left, right) = plt.subplots(1, 2)
    rows = packing_plots.draw_shares(right, scores, np.arange(3.0), 10)
    for strength in packing_plots.SHADES:
        assert sum(row["y"] for row in rows if row["attenuation"] == strength) == 10
    curve = [row["y"] for row in packing_plots.draw_attenuation(left, scores[0]) if row["attenuation"] == 0.35]
    np.testing.assert_allclose(curve, np.sort(packing.attenuate(scores[:1])[0])[::-1] / scores[0].max())


def test_borders_run_between_blocks_of_different_frames():
    positions = np.repeat(np.repeat(np.array([[3, 3], [3, 7]]), 2, axis=0), 2, axis=1)[..., None].repeat(3, axis=2)
    _, ax = plt.subplots()
    canvases.draw_canvas(ax, np.zeros((56, 56, 3), np.uint8), positions, canvases.time_colours(0, 9))
    segments = ax.collections[0].get_segments()
    assert len(segments) == 8 + 4, "the outer edge of four blocks, and the block at 7 apart from two neighbours on both sides"
    positions[2:, 2:] = -1
    _, ax = plt.subplots()
    canvases.draw_canvas(ax, np.zeros((56, 56, 3), np.uint8), positions, canvases.time_colours(0, 9))
    assert len(ax.collections[0].get_segments()) == 6 + 2, "padding has no border of its own"


def test_lines_lead_from_each_block_to_its_place(tokens):
    number = next(i for i in range(len(tokens.canvases)) if np.ptp(canvases.canvas_positions(tokens, i)[..., 0]))
    place = canvases.canvas_positions(tokens, number)
    shown = np.unique(place[place[..., 0] >= 0][:, 0])[:4]
    pictures = {int(t): tokens.canvases[0] for t in shown}
    fig, rows = canvases.trace_figure(tokens.canvases[number], place, pictures, tokens.frame_times)
    assert len(rows) == len(fig.artists) == np.isin(place[::2, ::2, 0], shown).sum()
    for row in rows:
        t, source_row, source_col = place[2 * row["canvas_row"], 2 * row["canvas_col"]]
        assert (row["source_frame"], 2 * row["source_row"], 2 * row["source_col"]) == (t, source_row, source_col)


@pytest.mark.parametrize("budget", [1, 2, 8])
def test_the_whole_picture_is_drawn_for_any_budget(tokens, budget):
    made = ov2lib.tokenize_video(tokens.source, num_canvases=budget)
    fig = hero.hero_figure(made, int(made.group_ids[-1]))
    fig.canvas.draw()
    mine = np.flatnonzero(made.group_ids == made.group_ids[-1])[: hero.CANVASES]
    frames = sum(len(set(canvases.canvas_positions(made, i)[..., 0].ravel().tolist()) - {-1}) for i in mine)
    assert len(fig.artists) == frames, "one line a canvas and source frame"


def test_the_same_canvases_give_the_same_picture(tokens):
    import io

    def draw() -> bytes:
        out = io.BytesIO()
        canvases.group_figure(tokens, [0, 1, 2]).savefig(out, format="png", metadata={"Software": None})
        return out.getvalue()

    assert draw() == draw()


def test_block_scores_are_those_of_the_front_end(tokens):
    frame = next(f for f in ov2lib.read_signals(tokens.source) if f.residual is not None)
    scores = maps.block_scores(frame)
    assert scores.shape == tuple(side // 28 for side in frame.residual.shape)
    assert 0 <= scores.min() and scores.max() <= 2 * 28 * 28

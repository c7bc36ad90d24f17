"""The whole front end in one picture: stream, bit cost and groups, block scores, canvases with their sources."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch

from ov2lib.codec.analysis import Candidate, candidates, on_canvas, score_motion_residual
from ov2lib.codec.config import PaperConfig
from ov2lib.codec.frontend import partition_packets, plan_groups
from ov2lib.codec.sampled import tokenize_frames
from ov2lib.figures import MAPS, SIGNALS
from ov2lib.tokens import MERGE, VisualTokens
from ov2lib.video.packets import Packets
from ov2lib.video.source import Source

from . import timeline
from .canvases import Colours, canvas_positions, draw_canvas, time_colours

SIZE = (11.0, 6.0)
CANVASES = 4  # canvases of the group that fit into the last row


def hero_figure(tokens: VisualTokens, group: int) -> Figure:
    """Draw it for tokens of the paper's front end; `group` (κ) is unfolded, and its first four canvases are shown.

    Raises:
        VideoError: `tokens.source` cannot be read as video.
    """
    # 1. The video's packets, groups and one frame's scores
    source = Source.open(tokens.source, tokens.config.get("stream"))
    packets = source.packets
    config = PaperConfig(num_canvases=tokens.config["num_canvases"])
    partition = partition_packets(packets, config)
    strip = tokenize_frames(tokens.source, num_frames=10)
    candidate = _candidate(tokens, source, plan_groups(packets, partition, config.num_canvases)[group].frames)
    # 2. Above: film strip, packets, bit cost
    fig = plt.figure(figsize=SIZE)
    rows = fig.add_gridspec(6, 1, height_ratios=[0.78, 0.9, 1.3, 0.4, 1.5, 0.2], hspace=0.05)
    film, stream, curve = (fig.add_subplot(rows[i]) for i in range(3))
    _draw_strip(film, strip, packets)
    timeline.draw_packets(stream, packets)
    stream.legend(ncols=3, loc="upper right", bbox_to_anchor=(1, 1.38), fontsize=10, handlelength=1)
    stream.set(ylabel="kB", xlabel="seconds", yscale="log", ylim=(0.02, 60))
    stream.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
    stream.minorticks_off()
    timeline.draw_groups(curve, partition.edges)
    timeline.draw_bit_cost(curve, partition.bin_cost, partition.bin_seconds)
    curve.set(ylabel="$e_b$, kB", ylim=(0, None), xticklabels=[])
    for ax, text in (
        (film, "a video"),
        (stream, "① its packets: the compressed stream"),
        (curve, "② bit cost, cut into groups κ where it is low"),
    ):
        ax.set_title(text, fontsize=11, weight="bold", pad=14 if ax is curve else 5)

    # 3. Below: scores and canvases of one group
    numbers = np.flatnonzero(tokens.group_ids == group)[:CANVASES]
    start, end = partition.edges[group : group + 2]
    colours = time_colours(start, end)
    lower = rows[4].subgridspec(1, 1 + len(numbers), wspace=0.06)
    score_ax = fig.add_subplot(lower[0])
    _draw_scores(score_ax, candidate.picture, candidate.scores)
    for place, number in enumerate(numbers, start=1):
        _draw_packed(fig, curve, fig.add_subplot(lower[place]), tokens, number, colours)
    # 4. Captions, and lines around the group on the curve
    captions = rows[5].subgridspec(1, 1 + len(numbers), wspace=0.06)
    for cell, text in (
        (captions[0], "③ block scores"),
        (captions[1:], "④ canvases: every block keeps its source time and place"),
    ):
        ax = fig.add_subplot(cell)
        ax.set_axis_off()
        ax.text(0, 0.6, text, fontsize=11, weight="bold", va="center").set_in_layout(False)
    for edge in (start, end):
        curve.axvline(edge, color=SIGNALS["bits"], linewidth=2.5, zorder=5)
    return fig


def _candidate(tokens: VisualTokens, source: Source, frames: np.ndarray) -> Candidate:
    """The middle one of a group's candidate frames, with its block scores."""
    video = on_canvas(source, tokens.config["max_pixels"], tokens.patch_size)
    return next(candidates(video, frames[len(frames) // 2 : len(frames) // 2 + 1], score_motion_residual, 1))


def _draw_strip(ax: Axes, strip: VisualTokens, packets: Packets) -> None:
    pictures = strip.canvases[:, ::2, ::2]
    width = packets.duration / len(pictures)
    for i, picture in enumerate(pictures):
        ax.imshow(picture, extent=((i + 0.02) * width, (i + 0.98) * width, 0, 1), aspect="auto")
    ax.set(xlim=(0, packets.duration), ylim=(0, 1), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _draw_scores(ax: Axes, frame: np.ndarray, scores: np.ndarray) -> None:
    height, width = frame.shape[:2]
    ax.imshow(frame.mean(axis=2), cmap="gray", vmin=-60, vmax=330)
    shade = plt.get_cmap(MAPS["bits"])(scores / scores.max())
    shade[..., 3] = np.clip(scores / scores.max() * 1.6, 0, 0.75)
    ax.imshow(shade, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    ax.set_axis_off()


def _draw_packed(fig: Figure, curve: Axes, ax: Axes, tokens: VisualTokens, number: int, colours: Colours) -> None:
    positions = canvas_positions(tokens, number)
    times = tokens.frame_times
    draw_canvas(ax, tokens.canvases[number], positions, lambda t: colours(times[int(t)]), width=1.0)
    blocks = positions[::MERGE, ::MERGE, 0]
    side = tokens.canvases.shape[1] / len(blocks)
    for t in np.unique(blocks[blocks >= 0]):
        col = np.argwhere(blocks == t)[:, 1].mean() if (blocks != t).any() else blocks.shape[1] / 2 - 0.5
        line = ConnectionPatch(
            ((col + 0.5) * side, -2), (times[t], 0), "data", "data", axesA=ax, axesB=curve, color=colours(times[t]),
            linewidth=2.2 if (blocks == t).all() else 1.0, alpha=0.9,
        )  # fmt: skip
        line.set_annotation_clip(False)
        fig.add_artist(line).set_in_layout(False)

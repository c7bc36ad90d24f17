"""`ov2 inspect`: what a video's stream offers, and where it spends its bits."""

import argparse
import os
import re
import shutil
import textwrap
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..codec.config import PaperConfig
from ..codec.frontend import partition_packets
from ..codec.gop import Partition
from ..errors import Ov2Error
from ..files import check_file
from ..video.packets import Packets
from ..video.source import Source
from .reading import add_reading_arguments, open_source

DEFAULT = PaperConfig()
BARS = " ▁▂▃▄▅▆▇█"
ROWS = 5  # height of the timeline in lines
WIDEST_BAR = 8  # columns of one bin
LARGE_PAGE = 12  # MB, our choice: what a minute of video should stay under
WIDEST = 120  # columns; longer lines are hard to read even where the terminal has them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ov2 inspect`."""
    add_reading_arguments(parser)
    parser.add_argument("--png", metavar="FILE", help="draw the timeline into this picture instead of the terminal")
    parser.add_argument("--html", metavar="FILE", help="write a page for a browser: signals, scores and selected blocks")
    parser.add_argument("--seconds", metavar="A-B", help="with --html: only this part of the video, such as 10-25.5")


def run(args: argparse.Namespace) -> int:
    """Print the facts, then the timeline.

    Raises:
        VideoError: the file cannot be read as video.
        Ov2Error: the picture cannot be written.
    """
    seconds = read_seconds(args.seconds)
    if args.seconds and args.html is None:
        raise Ov2Error("--seconds chooses what --html shows; give --html FILE too")
    source = open_source(args)
    for target in (args.png, args.html):
        if target is not None:
            check_output(target, source)
    source.damage.warn()
    packets = source.packets
    partition = partition_packets(packets, DEFAULT)
    columns = min(shutil.get_terminal_size().columns, WIDEST)
    rows = facts(source, partition)
    if args.png is not None:
        rows.append(("timeline", str(draw(args.png, packets, partition))))
    for name, value in rows:
        print(textwrap.fill(value, columns, initial_indent=f"{name:<15}", subsequent_indent=" " * 15, break_on_hyphens=False))
    if args.png is None:
        print(f"\n{timeline(partition, columns)}")
    if args.html is not None:
        page = write_page(source, seconds, args.html)
        size = page.stat().st_size / 1e6
        hint = "; --seconds makes a smaller one of a part" if size > LARGE_PAGE and not args.seconds else ""
        print(f"\n{'page':<15}{page}, {size:.1f} MB{hint}")
    return 0


def read_seconds(text: str | None) -> tuple[float, float | None]:
    """Two numbers such as 10-25.5; the whole video for None.

    Raises:
        Ov2Error: another form.
    """
    if text is None:
        return 0.0, None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", text)
    if not match:
        raise Ov2Error(f"--seconds {text}: give two numbers of seconds, such as 10-25.5")
    return float(match[1]), float(match[2])


def check_output(path: str, source: Source) -> None:
    """Refuse what cannot be written, or is the video itself, before the work.

    Raises:
        Ov2Error: see above.
    """
    place = check_file(path, Ov2Error)
    if place.exists() and os.path.samefile(place, source.path):
        raise Ov2Error(f"{path} is the video, which would be lost; choose another place")


def write_page(source: Source, seconds: tuple[float, float | None], path: str) -> Path:
    """The inspector's page of a stretch of the video, with a bar on the terminal while it is made.

    Raises:
        Ov2Error: no frame in that stretch, or the file cannot be written.
    """
    from ..inspector import Inspection, Settings

    with tqdm(unit="", disable=None, leave=False) as bar:

        def show(what: str, done: int, total: int) -> None:
            bar.set_description(what, refresh=False)
            bar.total, bar.n = total, done
            bar.update(0)

        return Inspection(source, Settings(start=seconds[0], end=seconds[1]), show).save(path)


def facts(source: Source, partition: Partition) -> list[tuple[str, str]]:
    """What the stream offers, as (name, value) for people."""
    # 1. What takes more than one word to say
    packets = source.packets
    display, (height, width), shown = source.display, source.coded, source.display.shown
    stored = f" as shown, stored {width}x{height}, {display}" if str(display) else ""
    groups = f"{len(partition)} by bit cost, {_range(np.diff(partition.edges), '.3g')} s"
    # 2. One row for each fact; some rows only where they apply
    return [
        ("file", source.path),
        *(("stream", f"{line}{' (read)' if int(line.split(':')[0]) == source.stream else ''}") for line in source.streams),
        ("container", f"{source.container}, {'audio beside' if source.has_audio else 'no audio'}"),
        ("codec", f"{source.codec}, {source.pixel_format}"),
        ("size", f"{shown[1]}x{shown[0]}{stored}"),
        *([("interlaced", "canvases show the first field, lines between filled in")] if display.interlaced else []),
        *([("dynamic range", f"high ({display.transfer}); canvases show it as BT.709 would")] if display.transfer else []),
        ("frame rate", f"{packets.fps:.3f} fps, {'constant' if packets.constant_rate else 'on average (it varies)'}"),
        (
            "duration",
            f"{packets.duration:.3f} s, first frame at {packets.start:.3f} s"
            + ("" if packets.ordered else " (guessed: no times)"),
        ),
        (
            "packets",
            f"{len(packets)} for {len(packets.frame_packet)} frames, {packets.size.sum() / 125 / packets.duration:.0f} kbit/s",
        ),
        ("frame kinds", _kinds(packets)),
        ("key frames", _key_frames(packets)),
        ("signals", _signals(source)),
        ("groups", f"{groups} long, for a budget of {DEFAULT.num_canvases} canvases"),
    ]


def _kinds(packets: Packets) -> str:
    kinds, sizes = packets.kind[packets.frame_packet], packets.frame_sizes
    masks = [(kind, kinds == kind) for kind in "IPB?" if (kinds == kind).any()]
    names = {"?": "predicted (P or B, told apart by decoding)"}
    parts = [
        f"{which.sum()} {names.get(kind, kind)}, {sizes[which].sum() / sizes.sum():.0%} of the bytes" for kind, which in masks
    ]
    return "; ".join(parts)


def _key_frames(packets: Packets) -> str:
    keys = np.flatnonzero(packets.key)
    if not len(keys):
        return f"none is flagged; decoding can start at {packets.clean.sum()} packets"
    lengths = np.diff(np.append(keys, len(packets)))
    return f"{len(keys)}, GOPs of {_range(lengths, 'd')} packets; decoding can start at {packets.clean.sum()} of them"


def _range(values: np.ndarray, form: str) -> str:
    low, high = f"{values.min():{form}}", f"{values.max():{form}}"
    return low if low == high else f"{low} to {high}"


def _signals(source: Source) -> str:
    origins = "; ".join(f"{name} {origin}" for name, origin in source.origins.items())
    if source.origins["motion"] == "exported":
        return f"{origins} (by FFmpeg from the bitstream, or worked out from that)"
    reason = "all frames are key frames" if source.packets.key.all() else f"FFmpeg exports no motion vectors of {source.codec}"
    return f"{origins} ({reason}: its pictures are encoded again as H.264, which does)"


def timeline(partition: Partition, columns: int) -> str:
    """e_b as bars of text, `columns` wide at most, above an axis with a tick and the second where each group begins."""
    cost, bins = partition.bin_cost, len(partition.bin_cost)
    if bins > columns:
        cuts = np.linspace(0, bins, columns + 1).astype(int)
        heights = np.add.reduceat(cost, cuts[:-1]) / np.diff(cuts)
    else:
        heights = np.repeat(cost, min(columns // bins, WIDEST_BAR))
    eighths = np.ceil(heights * (8 * ROWS / max(heights.max(), 1))).astype(int)
    lines = ["".join(BARS[level] for level in np.clip(eighths - 8 * row, 0, 8)).rstrip() for row in reversed(range(ROWS))]
    starts = (partition.edges[:-1] / (bins * partition.bin_seconds) * len(heights)).astype(int)
    axis = np.full(len(heights), "─")
    axis[starts] = "┬"
    labels = ""
    for column, second in zip(starts, partition.edges, strict=False):
        if column >= len(labels) + bool(labels):
            labels = f"{labels:<{column}}{second:g}"
    title = f"bytes of P and B frames per {partition.bin_seconds:g} s, up to {cost.max():,.0f}; ┬ a group begins, at second"
    return "\n".join([title, *lines, "".join(axis), labels])


def draw(path: str, packets: Packets, partition: Partition) -> Path:
    """The same timeline as a PNG: bytes of each frame by kind, and e_b with the group boundaries.

    Raises:
        Ov2Error: the file cannot be written.
    """
    from matplotlib.figure import Figure

    from .. import figures

    # 1. Above: bytes of every frame, by kind
    figures.style()
    above, below = (fig := Figure(figsize=(figures.WIDTH, 4))).subplots(2, sharex=True)
    kinds, times = packets.kind[packets.frame_packet], packets.frame_times
    for kind in "B?PI":
        which = kinds == kind
        if which.any():
            colour, label = figures.KINDS.get(kind, "0.5"), "P or B" if kind == "?" else kind
            above.vlines(times[which], 0, packets.frame_sizes[which] / 1000, colour, linewidth=1, label=label)
    above.set(ylabel="kB per frame", title="packets", ylim=(0, None))
    above.legend(title="frame")
    # 2. Below: bytes of P and B frames in bins, cut into groups
    bins = np.arange(len(partition.bin_cost) + 1) * partition.bin_seconds
    below.stairs(partition.bin_cost / 1000, bins, fill=True, color=figures.SIGNALS["bits"])
    for edge in partition.edges[1:-1]:
        below.axvline(edge, color="black", linestyle="--", linewidth=0.8)
    below.set(xlabel="seconds", ylabel=f"kB of P and B per {partition.bin_seconds:g} s", title="bit cost and groups")
    below.set_xlim(0, partition.edges[-1])
    # 3. Write the picture
    try:
        return figures.write_whole(Path(path), figures.png(fig))
    except OSError as error:
        raise Ov2Error(f"cannot write {path}: {error.strerror}; choose another place") from error

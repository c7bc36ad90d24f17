"""Training data in pictures: what corpora are made of, the token budget, frames by length of a clip, and packing."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ov2lib.train.buckets import TOKENS_PER_FRAME, Bucket, bucket_of
from ov2lib.train.stages import STAGES, StageConfig

from ..cards import DataCard
from .sheet import Sheet, lay_out

SHADES = ("#332288", "#88CCEE", "#44AA99", "#DDCC77", "#CC6677", "#AA4499", "#117733", "#882255", "#999933")
PALE = (1, 2, 3, 8)  # of them, those that take dark letters
KINDS = {"image": "#44AA99", "video": "#332288"}
UNKNOWN = "not published"
_LEAST = 1e5  # left edge of the samples' axis


def cards_table(cards: Sequence[DataCard]) -> Sheet:
    """A card a line: title, kind, samples, stages, licence; by first stage, then those that no 8B stage trains on."""
    cards = sorted(cards, key=lambda card: (card.name == "mini_world", card.stages or (len(STAGES) + 1,)))
    rows = [
        [card.title, card.kind, _count(card), ", ".join(map(str, card.stages)) or "evaluation", card.licence] for card in cards
    ]
    notes = ["samples in brackets: what another source counts, see the card"]
    return lay_out(["corpus", "kind", "samples", "stages", "licence"], rows, notes=notes, width=44)


def _count(card: DataCard) -> str:
    if card.name == "mini_world":
        return "as asked"
    others = "".join(f" ({count:,})" for count in card.disputed.values())
    return (UNKNOWN if card.samples is None else f"{card.samples:,}") + others


def draw_composition(ax: Axes, shares: dict[str, dict[str, float]]) -> list[dict]:
    """A stacked bar for each corpus, percent by component, largest first; parts too narrow for their name stay without.

    Args:
        shares: by corpus, percent by component.

    Returns:
        A row per part.
    """
    # 1. A bar for each corpus, its parts from large to small
    rows = []
    for place, (corpus, parts) in enumerate(shares.items()):
        left = 0.0
        for number, (component, share) in enumerate(sorted(parts.items(), key=lambda item: -item[1])):
            shade = SHADES[number % len(SHADES)]
            ax.barh(place, share, left=left, color=shade, height=0.62, edgecolor="white", linewidth=0.6)
            # 2. Names where they fit
            letters = int((share - 0.5) / 0.9)  # that fit side by side
            lines = textwrap.wrap(component, max(letters, 1), break_long_words=False)
            if len(lines) <= 3 and max(map(len, lines)) <= letters:
                colour = "#111111" if number % len(SHADES) in PALE else "white"
                words = "\n".join(lines)
                ax.text(left + share / 2, place, words, ha="center", va="center", fontsize=6, color=colour, linespacing=0.95)
            rows.append({"corpus": corpus, "component": component, "percent": share})
            left += share
    # 3. Axes
    ax.set(xlim=(0, 100.5), xlabel="percent", yticks=range(len(shares)), yticklabels=list(shares))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.invert_yaxis()
    return rows


def draw_stage_sources(ax: Axes, configs: Sequence[StageConfig]) -> list[dict]:
    """Samples of every source by stage, on a log axis; a source of unpublished size has none and says so.

    Returns:
        A row per source.
    """
    # 1. A point for each source, on a logarithmic scale
    rows, places, names = [], [], []
    for number, config in enumerate(configs):
        for source in config.sources:
            place, shade = len(rows) + 0.6 * number, KINDS[source.kind]
            text = UNKNOWN if source.samples is None else f"{source.samples / 1e6:g} M"
            if source.samples is not None:
                ax.hlines(place, _LEAST, source.samples, color=shade, linewidth=1)
                ax.plot(source.samples, place, "o", color=shade, markersize=5)
            ax.annotate(text, (source.samples or _LEAST, place), xytext=(6, 0), textcoords="offset points", va="center",
                        fontsize=7)  # fmt: skip
            rows.append({"stage": config.stage, "source": source.name, "kind": source.kind, "samples": source.samples})
            places.append(place)
            names.append(source.name)
        # 2. Stages beside their sources
        middle = np.mean(places[-len(config.sources) :])
        ax.annotate(f"stage {config.stage}", (1, middle), xycoords=ax.get_yaxis_transform(), va="center", fontsize=8)
    # 3. Legend and axes
    ax.plot([], [], "o-", color=KINDS["image"], label="images and text")
    ax.plot([], [], "o-", color=KINDS["video"], label="video")
    ax.set(xscale="log", xlim=(_LEAST, 3e8), xlabel="samples")
    ax.set_yticks(places, names, fontsize=7)
    ax.invert_yaxis()
    ax.legend(fontsize=7, loc="lower right")
    return rows


def draw_budget(ax: Axes, known: Sequence[Bucket]) -> list[dict]:
    """Billions of tokens by bucket: images derived, images as printed (a line), captions. Returns a row per bucket."""
    rows = [
        {
            "panel": "budget", "bucket": bucket.name, "clips": bucket.clips, "frames": bucket.frames,
            "derived": bucket.image_tokens / 1e9,
            "printed": bucket.printed_image_tokens / 1e9, "captions": bucket.caption_tokens / 1e9,
        }
        for bucket in known
    ]  # fmt: skip
    places = np.arange(len(rows))
    derived, printed, captions = (np.array([row[name] for row in rows]) for name in ("derived", "printed", "captions"))
    ax.bar(places, derived, 0.6, color=KINDS["video"], label="images: clips × frames × 196", linewidth=0)
    ax.bar(places, captions, 0.6, bottom=derived, color="#DDCC77", label="captions", linewidth=0)
    ax.hlines(printed, places - 0.38, places + 0.38, color="#D55E00", linewidth=1.6, label="images, as printed")
    ax.set_xticks(places, [f"{row['bucket']}\n{row['frames']} frames" for row in rows], fontsize=7)
    ax.set(ylabel="billion tokens", ylim=(0, 1.35 * (derived + captions).max()))
    ax.legend(fontsize=7, loc="upper left")
    return rows


def draw_stratification(ax: Axes, known: Sequence[Bucket], mark: float | None = None) -> list[dict]:
    """Visual tokens over a clip's length, and where no bucket was published (grey); `mark` is a clip of so many seconds.

    Returns:
        A row per point.
    """
    seconds = np.concatenate([np.linspace(max(bucket.low, 4), bucket.high, 60) for bucket in known])
    seconds = np.unique(np.concatenate([seconds, np.linspace(180.01, 600, 30), [30.01, 60.01]]))
    rows = [
        {"panel": "length", "seconds": s, "bucket": bucket_of(s).name, "frames": bucket_of(s).frames} for s in seconds.tolist()
    ]
    tokens = np.array([row["frames"] * TOKENS_PER_FRAME for row in rows])
    ax.axvspan(180, 600, color="#ececec", linewidth=0)
    ax.text(330, 7e3, "no bucket:\nassumed", fontsize=7, ha="center", va="center")
    ax.plot(seconds, tokens, color=KINDS["video"], linewidth=1.6)
    ax.plot(seconds, seconds * TOKENS_PER_FRAME, color="#777777", linewidth=1, linestyle="--")
    ax.text(14, 2.0e3, "one frame a second", fontsize=7, color="#555555", rotation=36, ha="center", va="center")
    if mark is not None:
        ax.plot(mark, bucket_of(mark).frames * TOKENS_PER_FRAME, "o", color="#D55E00", markersize=5)
        ax.annotate("this clip", (mark, bucket_of(mark).frames * TOKENS_PER_FRAME), xytext=(0, 5),
                    textcoords="offset points", fontsize=7, ha="center", color="#D55E00")  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="length of the clip", ylabel="visual tokens", xlim=(4, 900))
    ax.set_xticks([5, 30, 60, 180, 600], ["5 s", "30 s", "1 min", "3 min", "10 min"])
    ax.minorticks_off()
    return rows


def draw_utilisation(ax: Axes, rows: list[dict]) -> None:
    """Share of the places that hold a token, a bar per way; rows have way, utilisation."""
    names = [row["way"] for row in rows]
    shades = ["#bbbbbb"] * (len(rows) - 1) + ["#D55E00"]
    ax.barh(names, [100 * row["utilisation"] for row in rows], color=shades, height=0.62, linewidth=0)
    for place, row in enumerate(rows):
        ax.annotate(f"{row['utilisation']:.1%}", (100 * row["utilisation"], place), xytext=(3, 0), textcoords="offset points",
                    va="center", fontsize=7)  # fmt: skip
    ax.set(xlim=(0, 116), xlabel="places filled, percent")
    ax.set_xticks([0, 25, 50, 75, 100])
    ax.tick_params(axis="y", labelsize=7)
    ax.invert_yaxis()


def draw_bins(ax: Axes, bins: Sequence[Sequence[int]], lengths: Sequence[int], capacity: int, show: int = 14) -> list[dict]:
    """The samples in `show` bins spread over the plan, each bin a row; room that stays empty is white. A row per sample."""
    rows = []
    for place, number in enumerate(np.linspace(0, len(bins) - 1, min(show, len(bins))).astype(int).tolist()):
        left = 0
        for order, index in enumerate(bins[number]):
            ax.barh(place, lengths[index], left=left, color=SHADES[order % len(SHADES)], height=0.8, edgecolor="white",
                    linewidth=0.4)  # fmt: skip
            rows.append({"panel": "bins", "bin": number, "sample": index, "start": left, "tokens": int(lengths[index])})
            left += int(lengths[index])
    ax.set(xlim=(0, capacity), xlabel="tokens", yticks=[], ylabel="bins, first to last opened")
    ax.invert_yaxis()
    return rows

"""Training data in pictures: what corpora are made of, the token budget, frames by length of a clip, and packing."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ov2lib.train.buckets import TOKENS_PER_FRAME, Bucket, bucket_of
from ov2lib.train.stages import STAGES, StageConfig

from ..cards import DataCard
from .sheet import Sheet, lay_out

SHADES = ("#332288", "#88CCEE", "#44AA99", "#DDCC77", "#CC6677", "#AA4499", "#117733", "#882255", "#999933")
NAMES = {
    "mid_training_85m": "Mid-Training-85M", "instruct_22m": "Instruct-22M", "finevision": "FineVision",
    "captions_30s": "captions, 30 s", "captions_30_60s": "captions, 30–60 s", "captions_60_180s": "captions, 1–3 min",
    "captions_10_15min": "captions, 10–15 min", "captions_10_15min_codec_384": "… codec, 384 frames",
    "captions_10_15min_codec_768": "… codec, 768 frames", "llava_video_178k": "LLaVA-Video-178K",
    "videochat_flash": "VideoChat-Flash", "molmo2": "Molmo2", "molmo2_track": "Molmo2, tracks",
    "molmo2_point": "Molmo2, points", "timelens": "TimeLens", "spatial_4m": "Spatial-4M",
}  # fmt: skip
KINDS = {"image": "#44AA99", "video": "#332288"}
UNKNOWN = "not in our sources"
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


def draw_composition(axes: Sequence[Axes], shares: dict[str, dict[str, float]]) -> list[dict]:
    """A panel for each corpus: a bar for each component, percent, the largest on top.

    Args:
        axes: one for each corpus.
        shares: by corpus, percent by component.

    Returns:
        A row per component.
    """
    rows = []
    for ax, (corpus, parts) in zip(axes, shares.items(), strict=True):
        names = sorted(parts, key=lambda name: -parts[name])
        bars = ax.barh(names, [parts[name] for name in names], color=KINDS["image"], height=0.7)
        ax.bar_label(bars, fmt="%.1f", padding=3, fontsize="large")
        ax.set(xlabel="percent", xlim=(0, 1.3 * max(parts.values())))
        ax.set_title(corpus, fontsize="large")
        ax.xaxis.label.set_size("large")
        ax.tick_params(axis="y", length=0, labelsize="large")
        ax.invert_yaxis()
        rows += [{"corpus": corpus, "component": name, "percent": parts[name]} for name in names]
    return rows


def draw_stage_sources(ax: Axes, configs: Sequence[StageConfig]) -> list[dict]:
    """Samples of every source by stage, on a log axis; a source of unknown size has none and says so.

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
                        fontsize="large")  # fmt: skip
            rows.append({"stage": config.stage, "source": source.name, "kind": source.kind, "samples": source.samples})
            places.append(place)
            names.append(NAMES[source.name])
        # 2. Stages beside their sources
        middle = np.mean(places[-len(config.sources) :])
        ax.annotate(f"stage {config.stage}", (1, middle), xycoords=ax.get_yaxis_transform(), va="center", fontsize="large")
    # 3. Legend and axes
    ax.plot([], [], "o-", color=KINDS["image"], label="images and text")
    ax.plot([], [], "o-", color=KINDS["video"], label="video")
    ax.set(xscale="log", xlim=(_LEAST, 3e8), xlabel="samples")
    ax.set_yticks(places, names, fontsize="large")
    ax.invert_yaxis()
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.08), ncols=2, fontsize="large")
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

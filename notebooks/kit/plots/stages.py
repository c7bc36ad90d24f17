"""The four stages from left to right: what each adds to those before, and how long its videos and rows are."""

from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ov2lib.figures import WIDTH
from ov2lib.train.stages import Source, StageConfig

from .flow import LETTERS, arrow, box

_SHADES = ("#88CCEE", "#44AA99", "#332288", "#CC6677")
_LINES = ("new samples", "frames, at most", "videos shown as", "tokens in a row")


def stages_figure(configs: Sequence[StageConfig]) -> tuple[Figure, list[dict]]:
    """A box for each stage; "+" where the size of a corpus is not in our sources. And a row per stage."""
    fig, ax = plt.subplots(figsize=(WIDTH, 2.3))
    for height, name in enumerate(_LINES):
        ax.text(-0.95, -0.42 * height, name, ha="right", va="center", fontsize=LETTERS, style="italic")
    rows, seen = [], set()
    for place, (config, shade) in enumerate(zip(configs, _SHADES, strict=True)):
        # 1. What this stage reads, and what none before it did
        new = [source for source in config.sources if source.card not in seen]
        seen |= {source.card for source in config.sources}
        frames = max(source.max_frames or 0 for source in config.sources)
        ways = ", ".join(sorted(config.input_ratio, reverse=True))
        rows.append(
            {"stage": config.stage, **dict(zip(_LINES, (millions(new), frames, ways, config.sequence_length), strict=True))}
        )
        # 2. Its box, and the arrow to it
        x = 1.8 * place
        ax.text(x, 0.55, f"{config.stage} {config.name}".replace(" and ", ",\n"), ha="center", fontsize=LETTERS, weight="bold")
        box(ax, (x, -0.63), (1.5, 1.86), "", shade)
        for height, name in enumerate(_LINES):
            value = rows[-1][name]
            text = f"{value:,}" if isinstance(value, int) else value
            ax.text(x, -0.42 * height, text, ha="center", va="center", fontsize=LETTERS)
        if place:
            arrow(ax, (x - 1.05, -0.63), (x - 0.75, -0.63))
    ax.set(xlim=(-2.7, 6.2), ylim=(-1.62, 1.0))
    ax.set_axis_off()
    return fig, rows


def millions(sources: Sequence[Source]) -> str:
    """Samples of these corpora together; "+" where the size of some is not in our sources."""
    known = sum(source.samples or 0 for source in sources) / 1e6
    return f"{known:.3g} M" + "+" * any(source.samples is None for source in sources)

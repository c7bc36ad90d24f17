"""The paper's front end beside the released chain, as two flow charts. Numbers are the library's constants."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ov2lib.codec import gop, released
from ov2lib.codec.config import CANVASES_PER_GROUP
from ov2lib.figures import WIDTH

from .flow import LETTERS, arrow, box

KINDS = {"groups": "#CC79A7", "frames": "#56B4E9", "scores": "#D55E00", "canvases": "#009E73"}
CHAINS = {  # (kind, step) in the order of computing
    "paper": (
        ("groups", f"bits of P and B pictures\nin bins of {gop.BIN_SECONDS:g} s"),
        ("groups", "cut where the quota is spent,\nin the cheapest bin nearby"),
        ("frames", "the middle frame is the anchor;\ncandidates evenly in the group"),
        ("scores", "score of a block:\nmotion + residual"),
        ("canvases", "attenuate in a frame; share out\nalong the allocation curve"),
        ("canvases", f"I-canvas and {CANVASES_PER_GROUP - 1} or more\nP-canvases, in order of time"),
    ),
    "released": (
        ("frames", f"{released.WINDOW} candidates per {CANVASES_PER_GROUP} canvases,\neven over the video, no key frames"),
        ("scores", "score of a block:\nbits alone"),
        ("groups", f"threshold: mean sum of the best\nblocks of {released.WINDOW} candidates"),
        ("groups", f"grow a group, {released.MIN_FRAMES} to {released.MAX_FRAMES} frames,\nuntil it is ready"),
        ("frames", "the first good frame\nis the anchor"),
        ("canvases", f"I-canvas and {CANVASES_PER_GROUP - 1} P-canvases\nof the group's best blocks"),
    ),
}
_STEP, _SIZE = 1.0, (3.3, 0.72)


def chains_figure() -> tuple[Figure, list[dict]]:
    """Both chains from top to bottom, a colour for each kind of step; and a row per step."""
    fig, ax = plt.subplots(figsize=(WIDTH, 5.6))
    rows = []
    for column, (chain, steps) in enumerate(CHAINS.items()):
        x = 3.6 * column
        ax.text(x, 0.62, chain, ha="center", fontsize=LETTERS + 2, weight="bold")
        for number, (kind, text) in enumerate(steps):
            box(ax, (x, -_STEP * number), _SIZE, text, KINDS[kind])
            if number:
                arrow(ax, (x, -_STEP * number + _STEP - _SIZE[1] / 2), (x, -_STEP * number + _SIZE[1] / 2))
            rows.append({"chain": chain, "step": number + 1, "kind": kind, "text": text.replace("\n", " ")})
    for place, (kind, shade) in enumerate(KINDS.items()):
        ax.text(1.2 * place, -5.75, kind, color=shade, ha="center", fontsize=LETTERS, weight="bold")
    ax.set(xlim=(-1.7, 5.3), ylim=(-5.95, 0.95))
    ax.set_axis_off()
    return fig, rows

"""The audit: what the paper's text, the project page and the guide say, beside what the reported tables give.

Its words are data. `data/claims.csv` holds one row for each sentence that can be checked, with its place, what would decide it
and a verdict; rows of the section "reading" are questions of ours, which nobody claimed and which get no verdict, and those of
the section "mini measurement" what the mini world gives beside an open claim, which decides nothing about the published model.
`data/sources.csv` says which texts were read, in which state. Here is the arithmetic: each row names a computation, a function
below and its arguments, which gives the verdict and the numbers in the row's words. Nothing is measured here: mini measurements
are read from the committed runs in `school/results`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from ov2lib import __version__
from ov2lib.errors import ReportedError
from ov2lib.evaluate.intervals import bootstrap
from ov2lib.reported.tables import BASELINE, MODEL, load, rows

from .derived import averages, codec_gains, frames_available, gains, guide_gaps, nearest_guide
from .records import intervals, read_results

HOLDS, CONDITION, CONTRADICTED, OPEN, NOT_IN_TEXT = VERDICTS = (
    "holds", "holds with a condition", "contradicted by its own source", "open", "not in the text we have",
)  # fmt: skip
MEANINGS = (
    "the sources that we have give what the sentence says",
    "true, if one knows what the sentence leaves out",
    "a table, figure, data set or code by the same authors says otherwise",
    "no source that we know decides it",
    "what would decide it may stand in the paper beyond the text that we have",
)
READ = "2026-11-26"  # the day on which the sources were last read

PIXELS_PER_TOKEN = 28 * 28  # published: patch 14, 2x2 patches merged into one language-model token
FRAME_TOKENS = 392 * 392 // PIXELS_PER_TOKEN

Outcome = tuple[str, dict]  # verdict ("" for a reading), numbers by name


@dataclass(frozen=True)
class Claim:
    """One row of the audit.

    Attributes:
        name: short name, to cite.
        section: "claim" for a sentence that somebody wrote, "reading" for a question of ours, "mini measurement".
        quote: the sentence in a few words, or the question.
        place: where it stands.
        source: name of its source in the table "sources"; "ours" outside claims.
        decides: what would decide it.
        tables: reported tables that the computation reads, or the committed run.
        computation: name of a function of this module, and its arguments.
        have: what these tables give.
        verdict: one of `VERDICTS`; "" outside claims.
        remark: what a reader should take along.
    """

    name: str
    section: str
    quote: str
    place: str
    source: str
    decides: str
    tables: str
    computation: str
    have: str
    verdict: str
    remark: str


def audit(section: str | None = None) -> tuple[Claim, ...]:
    """The audit in the order of its sources: all of it, or one section.

    Raises:
        ReportedError: a row's verdict is not the one that its computation gives.
    """
    return tuple(_claim(row) for row in rows("claims") if section in (None, row["section"]))


def audit_table() -> pd.DataFrame:
    """`audit` as a pandas frame indexed by name, one column per field of `Claim`."""
    return pd.DataFrame([vars(claim) for claim in audit()]).set_index("name")


def compute(computation: str) -> Outcome:
    """The verdict and the numbers of a computation as `Claim.computation` writes it.

    Raises:
        ReportedError: there is no such computation.
    """
    name, _, argument = computation.partition(" ")
    if name not in COMPUTATIONS:
        raise ReportedError(f"no computation {name!r}; there are {', '.join(COMPUTATIONS)}")
    return COMPUTATIONS[name](argument) if argument else COMPUTATIONS[name]()


def summary() -> str:
    """The audit on one page of Markdown, to cite: date, sources with their versions, each claim in a line."""
    # 1. The head: how to cite, and the sources with their dates
    claims = audit("claim")
    lines = [
        "# The claims of LLaVA-OneVision-2, audited", "",
        f"Sources as read by {READ}, with ov2lib {__version__}. Cite a row by its name: "
        f"“`more_stable`, claims audit of ov2lib, {READ}”. "
        "What would decide each row, the tables it reads and the function that computes it are in "
        "[claims.csv](../ov2lib/reported/data/claims.csv), the functions in [claims.py](../notebooks/kit/claims.py).", "",
        "| source | version | date | what we have |", "|---|---|---|---|",
        *(f"| {_link(row)} | {row['version']} | {row['date']} | {row['what we have']} |" for row in rows("sources")),
    ]  # fmt: skip
    # 2. Claims by verdict
    for verdict, meaning in zip(VERDICTS, MEANINGS, strict=True):
        mine = [claim for claim in claims if claim.verdict == verdict]
        lines += ["", f"## {verdict.capitalize()} ({len(mine)}): {meaning}", ""]
        lines += [f"* `{c.name}` “{c.quote}” ({c.source}, {c.place}): {c.have}. {c.remark}".rstrip() for c in mine]
    # 3. What was measured in the small, and readings of ours: no verdicts
    minis = audit("mini measurement")
    lines += ["", f"## Mini measurements ({len(minis)}): made here, on rendered clips; no verdict on the published model", ""]
    lines += [f"* `{c.name}` {c.quote} {c.have}. {c.remark}".rstrip() for c in minis]
    readings = audit("reading")
    lines += ["", f"## Readings of ours ({len(readings)}): nobody claimed these, and they get no verdict", ""]
    lines += [f"* `{c.name}` {c.quote} {c.have}. {c.remark}".rstrip() for c in readings]
    return "\n".join(lines) + "\n"


def _link(row: dict[str, str]) -> str:
    return (
        f"[{row['source']}]({row['address']})" if row["address"].startswith("https") else f"{row['source']} ({row['address']})"
    )


def _claim(row: dict[str, str]) -> Claim:
    verdict, numbers = compute(row["computation"])
    if verdict != row["verdict"] and row["section"] == "claim":
        raise ReportedError(f"claim {row['name']!r} is marked {row['verdict']!r}, and its computation gives {verdict!r}")
    filled = {field: row[field].format(**numbers) for field in ("have", "remark")}
    return Claim(**row | filled)


def _judge(true: bool, whole: bool = True) -> str:
    """The verdict on a sentence that its sources decide; not `whole` where it leaves something out."""
    return (HOLDS if whole else CONDITION) if true else CONTRADICTED


def _facts(item: str) -> dict[str, str]:
    """The values of an item of the table "facts" by source."""
    return {row["source"]: row["value"] for row in rows("facts") if row["item"] == item}


def _difference(category: str, baseline: str = BASELINE) -> float:
    means = averages().set_index(["category", "model"])["recomputed"]
    return means[category, MODEL] - means[category, baseline]


# Results


def against_predecessor() -> Outcome:
    """The gain on LLaVA-OneVision-1.5 by category: most averages rise, and whether all do."""
    differences = {name: _difference(name, "LLaVA-OneVision-1.5") for name in ("video", "spatial", "image", "tracking")}
    risen = [value > 0 for value in differences.values()]
    listed = ", ".join(f"{name} {value:+.1f}" for name, value in differences.items())
    return _judge(sum(risen) > 2, all(risen)), {"gains": listed}


def best_rows() -> Outcome:
    """In how many rows of the main table OV2 is best, and in how many averages."""
    table = load("main", wide=True)
    best = table[MODEL] >= table.max(axis=1)
    average = table.index.get_level_values("benchmark") == "Average"
    each = best[~average].groupby("category", sort=False).agg(["sum", "size"])
    by = ", ".join(f"{row.Index} {row.sum} of {row.size}" for row in each.itertuples(name="Row"))
    numbers = {"best": best[~average].sum(), "rows": (~average).sum(), "by": by, "averages": best[average].sum()}
    return _judge(best.mean() > 0.4, best.all()), numbers


def average_gain(argument: str) -> Outcome:
    """A stated gain on the baseline in one category's average, such as "video 4.3", and whether all averages recompute."""
    category, stated = argument.split()
    table = averages()
    means = table.set_index(["category", "model"])["recomputed"]
    gain = _difference(category)
    numbers = {"ours": means[category, MODEL], "theirs": means[category, BASELINE], "gain": gain}
    holds = table["holds"].all() and round(gain, 1) == float(stated)
    return _judge(holds), numbers | {"held": table["holds"].sum(), "printed": len(table)}


def tracking_gain(stated: str) -> Outcome:
    """The stated gain in J&F on the baseline, from the tracking rows of that kind."""
    table = load("main", wide=True).loc["tracking", [MODEL, BASELINE]]
    ours, theirs = table[table.index.str.endswith("(J&F)")].mean()
    printed = table.loc["Average", MODEL] - table.loc["Average", BASELINE]
    numbers = {"ours": ours, "theirs": theirs, "gain": ours - theirs, "printed": printed}
    return _judge(round(ours - theirs, 1) == float(stated)), numbers


def consistent_gains() -> Outcome:
    """Rows ahead of the baseline by category: gains on average, and whether in every row."""
    video, spatial, tracking = (gains(category) for category in ("video", "spatial", "tracking"))
    named = {"video": (video, "video"), "spatial": (spatial, "spatial"),
             "tracking": (tracking[tracking.index.str.endswith("(J&F)")], "J&F")}  # fmt: skip
    ahead = {name: f"{(part > 0).sum()} of {len(part)} {label} rows" for name, (part, label) in named.items()}
    every = all((part > 0).all() for part, _ in named.values())
    medians = f"{video.median():+.1f} and {spatial.median():+.1f}"
    return _judge(all(part.mean() > 0 for part, _ in named.values()), every), ahead | {"medians": medians}


def jumpscore_lead(stated: str) -> Outcome:
    """The stated lead on JumpScore: of the codec at the largest budget, and whether frames have it too."""
    row, curve = load("main", wide=True).loc[("video", "JumpScore")], load("codec_vs_frames", wide=True).loc["JumpScore"]
    budget, lead = curve.index.max(), row[MODEL] - row[BASELINE]
    guide = load("guide").set_index("benchmark").loc["JumpScore", "value"]
    numbers = {"ours": row[MODEL], "theirs": row[BASELINE], "lead": lead, "budget": budget, "guide": guide}
    frames = curve.loc[budget, "frames"] - row[BASELINE]
    return _judge(round(lead, 1) == float(stated), round(frames, 1) == float(stated)), numbers | {"frames": frames}


def gain_in_few_rows() -> Outcome:
    """What is left of the video and spatial gains without the few rows that make most of them."""
    video, spatial = gains("video").drop("JumpScore"), gains("spatial")
    samples = load("data_mixture").query("component == 'Crosspoint' and quantity == 'samples'")["value"].item()
    numbers = {"video": video.mean(), "spatial": spatial.iloc[2:].mean(), "two": " and ".join(spatial.index[:2])}
    return "", numbers | {"trained": int(samples)}


def tracking_f() -> Outcome:
    """Cells of the tracking table whose J would be negative if J&F is the mean of J and F."""
    table = load("main", wide=True).loc["tracking"].drop("Average")
    f, both = (table[table.index.str.endswith(end)].to_numpy() for end in (" (F)", " (J&F)"))
    negative = 2 * both - f < -0.15  # beyond the rounding of both rows
    numbers = {"cells": negative.sum(), "models": negative.any(axis=0).sum(), "worst": (2 * both - f).min()}
    return "", numbers


def small_tracker() -> Outcome:
    """The 4B tracker of the authors' repository beside the 8B of the main table."""
    small, table = load("tracking_4b", wide=True)["J&F"], load("main", wide=True).loc["tracking", MODEL]
    pairs = {"ref-davis17": "DAVIS (J&F)", "MeViS valid_u": "MeViS_U (J&F)"}
    words = [f"{row}: {table[row]} (8B), {small[name]} (4B), {small[name] - table[row]:+.2f}" for name, row in pairs.items()]
    return "", {"pairs": "; ".join(words)}


# Codec against frames


def codec_gain(argument: str) -> Outcome:
    """A stated mean gain of codec canvases over frames on the curves whose names begin so, such as "TimeLens 9.7"."""
    name, stated = argument.split()
    means = codec_gains()["gain"].groupby("benchmark", sort=False).mean()
    lens = means[means.index.str.startswith("TimeLens")]
    gain = means[means.index.str.startswith(name)].mean()
    parts = ", ".join(f"{value:+.2f}" for value in lens)
    return _judge(round(gain, 1) == float(stated)), {"gain": gain, "timelens": lens.mean(), "parts": parts}


def tight_wins(limit: str) -> Outcome:
    """Points of the curves up to a budget at which codec canvases win."""
    gain = codec_gains()["gain"]
    tight = gain[gain.index.get_level_values("budget") <= int(limit)]
    won = (tight > 0).sum()
    return _judge(won == len(tight)), {
        "won": won, "points": len(tight), "limit": limit, "least": tight.min(), "most": tight.max()
    }  # fmt: skip


def gains_when_tight() -> Outcome:
    """Whether JumpScore gains more at its two smallest budgets than at its two largest, and where other curves gain most."""
    gain = codec_gains()["gain"].unstack("benchmark", sort=False).sort_index()
    jumps, others = gain["JumpScore"].dropna(), gain.drop(columns="JumpScore")
    ends = {"first": jumps.iloc[:2], "last": jumps.iloc[-2:]}
    numbers = {name: " and ".join(f"{value:+.1f}" for value in part) for name, part in ends.items()}
    where = ", ".join(str(budget) for budget in sorted(set(others.round(1).idxmax())))
    shrinks = ends["first"].mean() > ends["last"].mean()
    return _judge(bool(shrinks)), numbers | {"others": others.shape[1], "where": f"a budget of {where}"}


def count_curves(stated: str) -> Outcome:
    """Whether there are as many curves as stated."""
    table = load("codec_vs_frames", wide=True)
    curves = table.index.get_level_values("benchmark").nunique()
    return _judge(curves == int(stated)), {"curves": curves, "points": len(table)}


def codec_losses() -> Outcome:
    """Points of the curves at which frames win."""
    gain = codec_gains()["gain"]
    lost = [f"{name} at {budget} ({value:+.1f})" for (name, budget), value in gain[gain < 0].items()]
    return "", {"lost": len(lost), "points": len(gain), "where": ", ".join(lost)}


def no_arm(arm: str) -> Outcome:
    """Whether any curve has the arm named, such as fixed groups."""
    arms = list(dict.fromkeys(row["front_end"] for row in rows("codec_vs_frames")))
    return HOLDS if arm in arms else OPEN, {"arms": " and ".join(arms)}


def budgets_in_tokens() -> Outcome:
    """Tokens of a canvas and of a frame in the guide's settings of ActivityNet."""
    guide = load("guide").query("benchmark == 't/ActivityNet'").set_index("backend")["max_pixels"] / PIXELS_PER_TOKEN
    return _judge(True, guide["codec"] == guide["frames"]), {"canvas": guide["codec"], "frame": guide["frames"]}


def budgets_of_rows() -> Outcome:
    """Whether all rows of the guide have one budget in tokens, and whether other models' settings are known."""
    guide = load("guide")
    tokens = guide["budget"] * (guide["max_pixels"] // PIXELS_PER_TOKEN)
    known = {row["model"] for row in rows("guide") if row.get("model")}  # no source has settings of another model
    return OPEN if not known else _judge(tokens.nunique() == 1), {"least": tokens.min(), "most": tokens.max()}


def budgets_on_jumpscore() -> Outcome:
    """How many frames the JumpScore clips offer at the largest budget, and frames' scores before and at it."""
    curve = load("codec_vs_frames", wide=True).loc["JumpScore", "frames"]
    budget = int(curve.index.max())
    low, high = frames_available(budget)
    return "", {"low": low, "high": high, "budget": budget, "before": curve[64], "after": curve[128]}


def example_gain(stated: str) -> Outcome:
    """The stated gain, in per cent, of the project page's worked example, from its rounded numbers."""
    sides = {"frames": "example on 128 frames", "codec": "example on codec canvases"}
    means = {side: sum(map(float, _facts(item)["project page"].split())) / 3 for side, item in sides.items()}
    gain = 100 * (round(means["codec"], 3) / round(means["frames"], 3) - 1)  # of the rounded numbers, as printed
    return _judge(abs(gain - float(stated)) < 1), means | {"gain": gain}


def temporal_range(stated: str) -> Outcome:
    """The stated ratio of time covered by codec patches and by uniform frames, in the encoder's example."""
    codec, uniform = (int(_facts(f"{name} of the 54-token picture")["readme"]) for name in ("frames", "uniform frames"))
    return _judge(codec / uniform == float(stated)), {"codec": codec, "uniform": uniform}


def information_kept() -> Outcome:
    """Tokens of the encoder's example beside those of all its frames."""
    frames = temporal_range("3")[1]
    kept, whole = 54, 54 // frames["uniform"] * frames["codec"]
    return _judge(True, kept == whole), {"kept": kept, "all": whole, "codec": frames["codec"]}


# Data and stages


def agree(argument: str) -> Outcome:
    """Whether the sources of each fact give one value; facts are parted by ";", after "|" stands the verdict if they do not."""
    items, _, otherwise = argument.partition(" | ")
    facts = [_facts(item) for item in items.split("; ")]
    values_of = {source: ", ".join(_short(fact[source]) for fact in facts) for source in facts[0]}
    same = len(values_of) > 1 and len(set(values_of.values())) == 1
    words = "; ".join(f"{source}: {values}" for source, values in values_of.items())
    return HOLDS if same else otherwise or CONTRADICTED, {
        "values": f"{' and '.join(values_of)}: {values_of.popitem()[1]}" if same else words
    }


def missing(item: str) -> Outcome:
    """A breakdown that the text names: whether any source gives its values, and what the curves say."""
    gain = codec_gains()["gain"]
    means = gain.groupby("benchmark").mean()
    long = ", ".join(f"{means[name]:+.2f}" for name in ("LVBench", "VideoMME-Long-Sub", "VideoEval-Pro"))
    numbers = {"top": means.max(), "long": long, "lost": (gain < 0).sum(), "points": len(gain)}
    return NOT_IN_TEXT if set(_facts(item).values()) == {NOT_IN_TEXT} else OPEN, numbers


def unread() -> Outcome:
    """What the paper has and the text at hand lacks."""
    return "", {"items": "; ".join(row["item"] for row in rows("facts") if row["value"] == NOT_IN_TEXT)}


def caption_clips() -> Outcome:
    """Caption clips over all buckets, against the stated 8 million."""
    clips = load("caption_buckets", wide=True)["clips"].drop("total") / 1e6
    return _judge(round(clips.sum()) == 8), {"parts": " + ".join(f"{n:g}" for n in clips), "clips": clips.sum()}


def caption_totals() -> Outcome:
    """Whether the total row of the caption table is the sum of its buckets."""
    table = load("caption_buckets", wide=True)[["storage", "image_tokens", "caption_tokens"]]
    sums = table.drop("total").sum()
    return _judge(bool((abs(sums - table.loc["total"]) < 0.11).all())), sums.to_dict()


def image_tokens() -> Outcome:
    """Image tokens of each caption bucket, recomputed from clips and frames."""
    table = load("caption_buckets", wide=True).drop("total")
    recomputed = table["clips"] * table["frames_per_clip"] * FRAME_TOKENS / 1e9
    values = ", ".join(f"{value:.2f}B" for value in recomputed)
    return _judge(bool((abs(recomputed - table["image_tokens"]) < 0.051).all())), {"values": values}


def chart_clips() -> Outcome:
    """The chart's number of caption clips against the buckets' sum, rounded and to the digit."""
    chart = load("data_mixture").query("corpus == 'VideoCaption' and quantity == 'clips'").set_index("component")["value"]
    clips = caption_clips()[1]["clips"]
    return _judge(round(clips) == round(chart["chart label"] / 1e6), clips == chart["chart label"] / 1e6), {"clips": clips}


def chart_tokens() -> Outcome:
    """The chart's number of caption tokens against the sum of its parts."""
    chart = load("data_mixture").query("corpus == 'VideoCaption' and quantity == 'tokens'").set_index("component")["value"]
    label, table = chart.pop("chart label"), load("caption_buckets", wide=True).drop("total")
    numbers = {"parts": " + ".join(f"{n:.1f}" for n in chart), "sum": chart.sum()}
    tokens = table["image_tokens"].sum() + table["caption_tokens"].sum()
    return _judge(round(chart.sum(), 1) == label), numbers | {"table": tokens}


def spatial_samples() -> Outcome:
    """The chart's number of spatial samples against name and abstract, and the sum of its parts."""
    counts = load("data_mixture").query("corpus == 'Spatial' and quantity == 'samples'").set_index("component")["value"] / 1e6
    stated, label = counts.pop("name and abstract"), counts.pop("chart label")
    return _judge(round(label) == stated), {"label": label, "parts": counts.sum()}


def length_gap() -> Outcome:
    """Lengths of clips that no caption bucket covers."""
    buckets = [row["bucket"] for row in rows("caption_buckets") if row["quantity"] == "clips" and row["bucket"] != "total"]
    low, high = int(buckets[2].removesuffix("s").split("-")[1]) / 60, int(buckets[3].split("-")[0])
    return _judge(True, low == high), {"buckets": ", ".join(buckets), "low": f"{low:g}", "high": high}


def frame_growth() -> Outcome:
    """The growth of the frame budget from stage to stage, against the stated factors of 2 to 4."""
    frames = [row["value"] for row in rows("stages") if row["field"] == "max frames"]
    budgets = list(dict.fromkeys(int(n) for cell in frames for n in cell.replace("and", "/").split("/")))
    ratios = [b / a for a, b in zip(budgets[1:-1], budgets[2:], strict=True)]  # 30 to 60 and 90 is one step of two lengths
    ratios = [budgets[1] / budgets[0], *ratios[1:]]
    words = ", ".join(f"×{ratio:.2f}" for ratio in ratios)
    whole = all(2 <= ratio <= 4 for ratio in ratios)
    return _judge(all(2 <= round(ratio) <= 4 for ratio in ratios), whole), {
        "budgets": ", ".join(map(str, budgets)),
        "ratios": words,
    }


def codec_stages() -> Outcome:
    """The stages that a source of the authors names as having codec inputs."""
    said = {row["stage"]: row for row in rows("stages") if row["field"] == "codec inputs"}
    named = [stage for stage, row in said.items() if row["kind"] != "third party"]
    return OPEN if len(named) < len(said) else HOLDS, {"named": ", ".join(named)}


# Mini measurements


def stability() -> Outcome:
    """Evenness of adaptive groups minus that of as many fixed ones, by pace and length; agreement after a change, by arm."""
    from .studies import stability as study  # needs the video library, which no other row does

    table = study.results()
    plain = table[table["change"] == study.SAME]
    gaps = study.differences(plain, study.ADAPTIVE, study.AS_MANY)
    parts = {
        "long": gaps[(gaps["pace"] == study.CHANGING) & (gaps["seconds"] >= 600)],
        "short": gaps[(gaps["pace"] == study.CHANGING) & (gaps["seconds"] < 600)],
        "steady": gaps[gaps["pace"] == study.STEADY],
    }
    rows = {name: next(intervals(part, ["arm"], "bytes").itertuples()) for name, part in parts.items()}
    numbers = {name: f"{row.value:+.2f} ({row.low:+.2f} to {row.high:+.2f})" for name, row in rows.items()}
    agreement = table.groupby(["arm", "change"])["agreement"].mean()
    again = agreement[study.ADAPTIVE].drop([study.SAME, study.CUT_OFF])
    return "", numbers | {
        "clips": table["clip"].nunique() - 1,
        "least": again.min(), "most": again.max(), "chance": agreement[study.ADAPTIVE, study.SAME],
        "cut": agreement[study.ADAPTIVE, study.CUT_OFF], "fixed": agreement[study.FIXED, study.CUT_OFF],
    }  # fmt: skip


def events_shown() -> Outcome:
    """Events that the packed blocks show, and the moments they touch: fixed groups minus adaptive ones, clip by clip."""
    from .studies import selection as study

    table = pd.DataFrame(read_results("selection")[0]).astype({"frames": float, "events_seen": float})
    wide = table.pivot(index="clip", columns="variant", values=["frames", "events_seen"])
    events = wide["events_seen"]["fixed groups"] - wide["events_seen"][study.DEFAULT]
    gap = bootstrap(events.dropna().tolist(), events.dropna().index.tolist())
    means = wide.mean()
    return "", {
        "clips": len(wide), "gap": f"{gap.value:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})",
        "adaptive": means["events_seen", study.DEFAULT], "fixed": means["events_seen", "fixed groups"],
        "moments": means["frames", "fixed groups"] / means["frames", study.DEFAULT] - 1,
    }  # fmt: skip


def equal_tokens() -> Outcome:
    """Codec minus frames in the mini sweep, at equal visual and at equal total tokens, by budget."""
    gaps: dict[tuple[str, str], list[str]] = {}
    for row in read_results("sweep")[0]:
        if row["seed"] == "all" and row["backend"] == "codec - frames":
            gaps.setdefault((row["arm"], row["metric"]), []).append(f"{float(row['score']):+.2f}")
    arms = {"visual": "sighted", "total": "sighted - equal total"}
    keys = [(name, metric) for name in arms for metric in ("mAP", "mIoU")]
    return "", {f"{name}_{metric}": ", ".join(gaps[arms[name], metric]) for name, metric in keys}


# Method, release, guide


def one_value(argument: str) -> Outcome:
    """Whether all sources give one value for a constant, such as "block 2x2"."""
    symbol, value = argument.split()
    values = {row["source"]: row["value"] for row in rows("codec_constants") if row["symbol"] == symbol}
    same = all(said.startswith(value) for said in values.values())
    return _judge(same), {"values": f"{value} in all {len(values)} sources"}


def released_chain() -> Outcome:
    """How many constants the preprocessing package states, and which the released chain does without."""
    table = load("codec_constants", wide=True).droplevel("meaning")
    absent = table.index[table["released inference chain"].str.split(" ").str[0].isin(["n/a", "none"])]
    package = (table["preprocessing package 0.1.1 to 0.2.5"] != "not stated").sum()
    numbers = {"package": package, "total": len(table), "absent": len(absent), "names": ", ".join(absent)}
    return _judge(package == len(table), len(absent) == 0), numbers


def symbols_only() -> Outcome:
    """Constants that the text at hand gives as symbols only."""
    table = load("codec_constants", wide=True)["paper text"].droplevel("meaning")
    symbols = table.index[table.str.contains("symbol only")]
    return NOT_IN_TEXT if len(symbols) else HOLDS, {"symbols": ", ".join(symbols)}


def jumpscore_size() -> Outcome:
    """Videos of JumpScore on the page against rows of the released split."""
    stats = load("jumpscore_dataset").set_index(["quantity", "item"])["value"].astype(int)
    page, split = stats["videos", "in-house version"], stats["rows", "released test split"]
    return _judge(True, page == split), {"page": page, "split": split, "missing": page - split}


def everything_released() -> Outcome:
    """What the page still calls "coming soon"."""
    waiting = [row["item"] for row in rows("facts") if row["value"] == "coming soon"]
    numbers = jumpscore_size()[1]
    names = " and ".join(waiting) + " “coming soon”"
    return _judge(not waiting), numbers | {"waiting": names}


def backend_per_row() -> Outcome:
    """Benchmarks for which the guide gives both backends, the nearer one named, and those with frames alone."""
    gaps, near = guide_gaps(), nearest_guide()
    both = near.loc[gaps["benchmark"][gaps["benchmark"].duplicated()].unique(), "backend"]
    alone = len(near) - len(both) - 1
    return "", {"both": ", ".join(f"{name} {backend}" for name, backend in both.items()), "frames": alone}


def guide_rows() -> Outcome:
    """Whether the guide has a row for every benchmark reported."""
    guided, reported = ({row["benchmark"] for row in rows(table)} - {"Average"} for table in ("guide", "main"))
    return _judge(guided == reported), {"rows": len(guided), "all": len(reported)}


def guide_scores() -> Outcome:
    """Scores of the guide that differ from the main table by more than rounding."""
    near = nearest_guide()
    off = near[near["gap"].abs() > 0.05 + 1e-9].sort_index()
    words = ", ".join(f"{row.Index} {row.guide:.2f} against {row.table}" for row in off.itertuples())
    return _judge(len(off) < len(near), off.empty), {"same": len(near) - len(off), "rows": len(near), "off": words}


def _short(value: str) -> str:
    return f"{float(value):,.0f}" if value.isdecimal() else value


COMPUTATIONS: dict[str, Callable[..., Outcome]] = {
    function.__name__: function
    for function in (
        against_predecessor, best_rows, average_gain, tracking_gain, consistent_gains, jumpscore_lead, gain_in_few_rows,
        tracking_f, small_tracker, codec_gain, tight_wins, gains_when_tight, count_curves, codec_losses, no_arm,
        budgets_in_tokens, budgets_of_rows, budgets_on_jumpscore, example_gain, temporal_range, information_kept, agree,
        missing, unread, caption_clips, caption_totals, image_tokens, chart_clips, chart_tokens, spatial_samples, length_gap,
        frame_growth, codec_stages, one_value, released_chain, symbols_only, jumpscore_size, everything_released,
        stability, events_shown, equal_tokens, backend_per_row, guide_rows, guide_scores,
    )
}  # fmt: skip

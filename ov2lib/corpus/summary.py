"""What came of a corpus: one table of all samples, and its statistics as text and picture."""

import csv
import io
from collections import Counter
from pathlib import Path

from ..files import whole_file
from .plan import length_name
from .run import all_ledgers

COLUMNS = ("shard", "key", "id", "status", "reason", "warning", "tokens", "video_seconds", "seconds", "offset", "bytes")


def all_rows(folder: Path) -> list[dict]:
    """A row for each sample of the shards that stand, with `COLUMNS`."""
    rows = []
    for ledger in all_ledgers(folder):
        for row in ledger["samples"]:
            rows.append({name: row.get(name, "") for name in COLUMNS} | {"shard": ledger["shard"]})
    return rows


def write_table(folder: Path) -> Path:
    """All samples as samples.parquet, or samples.csv where pyarrow is not installed."""
    rows = [{name: _utf8(value) for name, value in row.items()} for row in all_rows(folder)]
    content = io.BytesIO()
    try:
        from pyarrow import Table, parquet
    except ModuleNotFoundError:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        path = folder / "samples.csv"
        content.write(text.getvalue().encode())
    else:
        path = folder / "samples.parquet"
        parquet.write_table(Table.from_pylist(rows), content)
    with whole_file(path) as file:
        file.write(content.getvalue())
    return path


def _utf8(value):
    """The value; in a name that is no UTF-8 text, question marks stand for what a table cannot hold."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def statistics(folder: Path) -> dict:
    """Counts by status, length and cause, sums, and videos per core-hour of the shards that stand."""
    rows = all_rows(folder)
    good = [row for row in rows if row["status"] == "ok"]
    seconds = sum(row["seconds"] for row in rows)
    causes = Counter(_cause(row) for row in rows if row["status"] != "ok")
    return {
        "ok": len(good), "failed": len(rows) - len(good), "tokens": sum(row["tokens"] for row in good),
        "bytes": sum(row["bytes"] for row in good), "core_seconds": seconds,
        "per_core_hour": len(good) / seconds * 3600 if seconds else 0.0,
        "lengths": dict(Counter(length_name(row["video_seconds"]) for row in good)), "causes": dict(causes.most_common()),
    }  # fmt: skip


def _cause(row: dict) -> str:
    """The reason of a failure without the name of its file."""
    parts = row["reason"].split(": ", 1)
    return parts[-1].split("; ")[0]


def draw(folder: Path, path: Path) -> Path:
    """A picture of lengths, tokens and seconds of work of the good samples.

    Raises:
        OSError: it cannot be written.
    """
    from matplotlib.figure import Figure

    from .. import figures

    good = [row for row in all_rows(folder) if row["status"] == "ok"]
    figures.style()
    fig = Figure(figsize=(figures.WIDTH, 2.2))
    names = {"video_seconds": "length, s", "tokens": "tokens", "seconds": "core-seconds"}
    for axes, (name, label) in zip(fig.subplots(1, 3), names.items(), strict=True):
        axes.hist([row[name] for row in good], bins=20, color=figures.SIGNALS["motion"])
        axes.set(xlabel=label, ylabel="samples")
    return figures.write_whole(path, figures.png(fig))

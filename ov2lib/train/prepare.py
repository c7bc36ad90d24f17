"""Samples on disk, planned into bins: what a run trains on, made once before it and reread by every process.

samples.jsonl   the samples that were kept, over-long ones without their last rounds
plan.json       tokens of each, and the bins
report.json     what was left out or shortened, and why
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import Dataset

from ..errors import TrainingError
from ..files import whole_folder
from ..model.sizes import Work
from ..samples.report import Report
from ..samples.sample import Sample, parse_sample
from .bins import plan_bins, utilisation
from .encoding import Example, SampleEncoder

FORMAT = "ov2-training-data/2"
FILES = ("samples.jsonl", "plan.json", "report.json")


@dataclass(frozen=True)
class Prepared:
    """A folder as described above.

    Attributes:
        folder: where it is.
        lengths: tokens of every sample.
        bins: sample numbers of every bin; one sample each on the unpacked path.
        summary: samples, bins, tokens, utilisation, and what was dropped.
        sources: by name, {"first", "samples", "bins", "work"}: its first sample's number, how many it has, and the sums
            of their `ov2lib.model.sizes.Work`. "bins", which stand together, only where sources are drawn by shares.
    """

    folder: Path
    lengths: list[int]
    bins: list[list[int]]
    summary: dict
    sources: dict[str, dict]

    def work(self, source: str) -> Work:
        """A source's mean sample."""
        facts = self.sources[source]
        return Work(*facts["work"]) * (1 / max(facts["samples"], 1))


def prepare(
    streams: Mapping[str, Iterable[Sample]],
    encoder: SampleEncoder,
    capacity: int,
    packed: bool,
    folder: Path,
    report: Report,
    identity: dict,
    apart: bool = False,
) -> Prepared:
    """Encode every sample once, leave out what cannot be used, plan bins, and write the folder (whole or not at all).

    Args:
        streams: samples by source.
        encoder: counts the tokens.
        capacity: tokens a bin holds.
        packed: several samples a bin; otherwise one.
        folder: to write. One that holds the same `identity` is reused as it is.
        report: where skipped and shortened samples are counted; it raises when too many are skipped.
        identity: plain JSON values that say what the samples and the encoding are.
        apart: give every source bins of its own, so that it can be drawn by its share.

    Raises:
        TrainingError: too many samples skipped, or none left.
    """
    if load_identity(folder) == identity:
        return load_prepared(folder)
    with whole_folder(folder, TrainingError, _stranger) as scratch:
        # 1. Encode and write the samples of every source
        shortened: dict[str, int] = {}
        with (scratch / "samples.jsonl").open("w") as file:
            lengths, sources = _write_sources(file, streams, encoder, capacity, report, shortened)
        if not lengths:
            raise TrainingError(f"no sample is left to train on; the reasons are {report.to_json()['reasons']}")
        report.end()
        # 2. Plan bins: for each source, or for all together
        bins: list[list[int]] = []
        if apart:
            for facts in sources.values():
                first = facts["first"]
                planned = _bins(lengths[first : first + facts["samples"]], capacity, packed)
                bins += [[first + number for number in members] for members in planned]
                facts["bins"] = len(planned)
        else:
            bins = _bins(lengths, capacity, packed)
        # 3. Write the plan and the report
        used = round(utilisation(bins, lengths, capacity), 4) if packed else None
        summary = {"samples": len(lengths), "bins": len(bins), "tokens": sum(lengths), "utilisation": used}
        plan = {
            "format": FORMAT,
            "identity": identity,
            "summary": summary,
            "lengths": lengths,
            "bins": bins,
            "sources": sources,
        }
        (scratch / "plan.json").write_text(json.dumps(plan))
        (scratch / "report.json").write_text(json.dumps(report.to_json() | {"shortened": shortened}, indent=2) + "\n")
    return load_prepared(folder)


def _write_sources(file, streams, encoder, capacity, report, shortened) -> tuple[list[int], dict[str, dict]]:
    """Write every sample that can be used; tokens of each, and by source how many there are and what they cost in all."""
    lengths, sources = [], {}
    for name, samples in streams.items():
        first, work = len(lengths), Work()
        for line, example in _encoded(samples, encoder, capacity, report, shortened):
            file.write(line)
            lengths.append(len(example))
            work += example.work
        sources[name] = {"first": first, "samples": len(lengths) - first, "work": list(vars(work).values())}
    return lengths, sources


def _encoded(samples, encoder, capacity, report, shortened) -> Iterator[tuple[str, Example]]:
    """Lines and examples of the samples that can be used; notes the rounds cut from those that were too long, by id."""
    for sample in samples:
        try:
            kept, example = encoder.fit(sample, capacity)
            line = json.dumps(kept.to_json()) + "\n"
        except Exception as error:  # whatever a picture, a video or a string does
            report.skip(sample.id, error)
            continue
        if kept.rounds < sample.rounds:
            shortened[sample.id] = sample.rounds - kept.rounds
        yield line, example


def _bins(lengths: list[int], capacity: int, packed: bool) -> list[list[int]]:
    return plan_bins(lengths, capacity) if packed else [[number] for number in range(len(lengths))]


def _plan(folder: Path) -> dict:
    """The plan in a folder, empty where there is none."""
    try:
        plan = json.loads((folder / "plan.json").read_text())
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}


def load_identity(folder: Path) -> dict | None:
    """What the prepared data in a folder were made of, None where there are none of this version."""
    plan = _plan(folder)
    return plan["identity"] if plan.get("format") == FORMAT else None


def _stranger(folder: Path) -> str | None:
    """What in a folder is not of prepared data, None where there is nothing such."""
    if not str(_plan(folder).get("format")).startswith("ov2-training-data/"):
        return "no prepared training data, but something else"
    return next((repr(path.name) for path in folder.iterdir() if path.name not in FILES), None)


def load_prepared(folder: Path) -> Prepared:
    """Read a prepared folder.

    Raises:
        TrainingError: it is not one, or of another version.
    """
    plan = _plan(folder)
    if plan.get("format") != FORMAT:
        raise TrainingError(f"{folder} holds no training data of format {FORMAT!r}; remove it and prepare the stage again")
    return Prepared(folder, plan["lengths"], plan["bins"], plan["summary"], plan["sources"])


class BinDataset(Dataset):
    """Bins of encoded examples, each encoded when asked for; only the places of lines are held in memory."""

    def __init__(self, prepared: Prepared, encoder: SampleEncoder):
        self.bins, self.encoder, self.path = prepared.bins, encoder, prepared.folder / "samples.jsonl"
        with self.path.open("rb") as file:
            self.offsets = [0]
            for line in file:
                self.offsets.append(self.offsets[-1] + len(line))

    def __len__(self) -> int:
        return len(self.bins)

    def __getitem__(self, number: int) -> list[Example]:
        with self.path.open("rb") as file:
            return [self._example(file, sample) for sample in self.bins[number]]

    def _example(self, file, number: int) -> Example:
        file.seek(self.offsets[number])
        return self.encoder.encode(parse_sample(json.loads(file.readline())))

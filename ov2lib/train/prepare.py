"""Samples on disk, planned into bins: what a run trains on, made once before it and reread by every process.

samples.jsonl   the samples that were kept, over-long ones without their last rounds
plan.json       tokens of each, and the bins
report.json     what was left out or shortened, and why
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import Dataset

from ..errors import TrainingError
from ..files import whole_folder
from ..samples.report import Report
from ..samples.sample import Sample, parse_sample
from .bins import plan_bins, utilisation
from .encoding import Example, SampleEncoder

FORMAT = "ov2-training-data/1"
FILES = ("samples.jsonl", "plan.json", "report.json")


@dataclass(frozen=True)
class Prepared:
    """A folder as described above.

    Attributes:
        folder: where it is.
        lengths: tokens of every sample.
        bins: sample numbers of every bin; one sample each on the unpacked path.
        summary: samples, bins, tokens, utilisation, and what was dropped.
    """

    folder: Path
    lengths: list[int]
    bins: list[list[int]]
    summary: dict


def prepare(
    samples: Iterable[Sample], encoder: SampleEncoder, capacity: int, packed: bool, folder: Path, report: Report, identity: dict
) -> Prepared:
    """Encode every sample once, leave out what cannot be used, plan bins, and write the folder (whole or not at all).

    Args:
        samples: in training order of the mixture.
        encoder: counts the tokens.
        capacity: tokens a bin holds.
        packed: several samples a bin; otherwise one.
        folder: to write. One that holds the same `identity` is reused as it is.
        report: where skipped and shortened samples are counted; it raises when too many are skipped.
        identity: plain JSON values that say what the samples and the encoding are.

    Raises:
        TrainingError: too many samples skipped, or none left.
    """
    if _plan(folder).get("identity") == identity:
        return load_prepared(folder)
    with whole_folder(folder, TrainingError, _stranger) as scratch:
        lengths, shortened = _write_samples(samples, encoder, capacity, scratch / "samples.jsonl", report)
        if not lengths:
            raise TrainingError(f"no sample is left to train on; the reasons are {report.to_json()['reasons']}")
        bins = plan_bins(lengths, capacity) if packed else [[number] for number in range(len(lengths))]
        summary = {
            "samples": len(lengths), "bins": len(bins), "tokens": sum(lengths),
            "utilisation": round(utilisation(bins, lengths, capacity), 4) if packed else None,
        }  # fmt: skip
        plan = {"format": FORMAT, "identity": identity, "summary": summary, "lengths": lengths, "bins": bins}
        (scratch / "plan.json").write_text(json.dumps(plan))
        facts = report.to_json() | {"shortened": shortened}
        (scratch / "report.json").write_text(json.dumps(facts, indent=2) + "\n")
    return load_prepared(folder)


def _plan(folder: Path) -> dict:
    """The plan in a folder, empty where there is none."""
    try:
        plan = json.loads((folder / "plan.json").read_text())
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}


def _stranger(folder: Path) -> str | None:
    """What in a folder is not of prepared data, None where there is nothing such."""
    if _plan(folder).get("format") != FORMAT:
        return "no prepared training data, but something else"
    return next((repr(path.name) for path in folder.iterdir() if path.name not in FILES), None)


def _write_samples(samples, encoder, capacity, path, report) -> tuple[list[int], dict[str, int]]:
    """Tokens of every sample written, and the rounds cut from those that were too long, by id."""
    lengths, shortened = [], {}
    with path.open("w") as file:
        for sample in samples:
            try:
                kept, example = encoder.fit(sample, capacity)
                line = json.dumps(kept.to_json())
            except Exception as error:  # whatever a picture, a video or a string does
                report.skip(sample.id, error)
                continue
            if kept.rounds < sample.rounds:
                shortened[sample.id] = sample.rounds - kept.rounds
            file.write(line + "\n")
            lengths.append(len(example))
    return lengths, shortened


def load_prepared(folder: Path) -> Prepared:
    """Read a prepared folder.

    Raises:
        TrainingError: it is not one, or of another version.
    """
    try:
        plan = json.loads((folder / "plan.json").read_text())
    except FileNotFoundError as error:
        raise TrainingError(f"{folder} holds no prepared training data; run the stage's preparation again") from error
    if plan.get("format") != FORMAT:
        raise TrainingError(f"{folder} has format {plan.get('format')!r}; this version reads {FORMAT!r}; remove the folder")
    return Prepared(folder, plan["lengths"], plan["bins"], plan["summary"])


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

"""Answers without a model, scored like any other: what a number must beat before it says that something was seen.

* `fit_constant`: the one answer to every question of a kind that scores best on a training split, of those tried;
  `refine_constant` makes its times better by small steps, a stronger bar.
* `permuted`: the true answers, dealt out to the wrong samples: chance that knows the distribution of answers.
* `fit_bursts`: jump times read off the time tags of a codec prompt alone. A codec spends its blocks where things move, and the
  prompt says when that was; no pixel is looked at.

Each gives a `predict` function for `ov2lib.evaluate.run.evaluate`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from ov2lib.errors import EvaluationError
from ov2lib.evaluate import grounding, jumpscore
from ov2lib.evaluate.scorers import reference, score
from ov2lib.model.prompt import runs, source_seconds
from ov2lib.samples.media import MediaOptions, video_tokens
from ov2lib.samples.sample import Sample
from ov2lib.tokens import VisualTokens

Predict = Callable[[Sample], str]

CANDIDATES = 64  # most frequent true answers that are tried
FITTED = 200  # training samples that a candidate is judged on
PERIODS = np.arange(0.3, 3.01, 0.05)  # seconds between the starts of a list at a constant pace
GAPS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0)
STEPS = (-0.5, -0.1, 0.1, 0.5)  # seconds by which a constant time is moved
SHIFTS = (-0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)


def kind_of(sample: Sample) -> tuple[str, str]:
    """What kind of question a sample is: its task, and `truth["kind"]` where there is one."""
    return sample.task, str(sample.truth.get("kind", ""))


@dataclass(frozen=True)
class Constant:
    """Gives every question of a kind the same answer.

    Attributes:
        answers: by kind, see `kind_of`.
    """

    answers: Mapping[tuple[str, str], str]

    def __call__(self, sample: Sample) -> str:
        """The answer.

        Raises:
            EvaluationError: there is none for this kind of question.
        """
        if kind_of(sample) not in self.answers:
            raise EvaluationError(f"{sample.id}: the training split has no question of kind {_name(kind_of(sample))}")
        return self.answers[kind_of(sample)]


def fit_constant(train: Iterable[Sample], candidates: int = CANDIDATES) -> Constant:
    """The best constant answer to each kind of question in `train`.

    Tried are the most frequent true answers, and for jump times also lists at a constant pace; judged by the task's headline
    metric on at most 200 samples.
    """
    return Constant({kind: _best_constant(members, candidates) for kind, members in _grouped(train).items()})


def refine_constant(constant: Constant, train: Iterable[Sample]) -> Constant:
    """Constant times and spans made better: of all single steps the best one is taken while the training score rises.

    A step moves one time, and for jump times also drops or adds one; judged as in `fit_constant`. Other answers stay.
    """
    groups = _grouped(train)
    refined = {kind: _climb(answer, groups[kind][:FITTED]) for kind, answer in constant.answers.items() if kind[0] in _WRITE}
    return Constant({**constant.answers, **refined})


def permuted(samples: Iterable[Sample], seed: int = 0) -> Predict:
    """Each sample gets the true answer of another sample of its kind, each answer used once.

    Raises:
        EvaluationError: a kind has one sample alone; later, a sample that was not among `samples`.
    """
    rng, dealt = np.random.default_rng(seed), {}
    for kind, members in _grouped(samples).items():
        if len(members) < 2:
            raise EvaluationError(f"there is one sample of {_name(kind)} alone; answers cannot be exchanged")
        order = rng.permutation(len(members))
        dealt |= {members[a].id: reference(members[b]) for a, b in zip(order, np.roll(order, 1), strict=True)}

    def predict(sample: Sample) -> str:
        if sample.id not in dealt:
            raise EvaluationError(f"{sample.id} was not among the samples whose answers were exchanged")
        return dealt[sample.id]

    return predict


def pace(period: float, end: float, phase: float = 1.0) -> str:
    """A list at a constant pace as an answer: the first time at `phase` periods, the last at `end` at most, in seconds."""
    return _listed(np.arange(period * phase, end + 1e-9, period).round(2))


def within_reach(truth: Sequence[float], end: float, tolerance: float) -> float:
    """Share of the seconds from 0 to `end` that lie within `tolerance` of a true start: what a guess at random hits."""
    grid = np.arange(0, end, 0.001)
    if not len(truth):
        return 0.0
    return float((np.abs(grid[:, None] - np.asarray(truth)).min(axis=1) <= tolerance).mean())


def time_tags(tokens: VisualTokens, decimals: int = 1) -> list[tuple[float, int]]:
    """(seconds, visual tokens) of every time tag in the prompt of a video, the seconds rounded as they are written there."""
    seconds = source_seconds(tokens)
    return [(round(float(seconds[t]), decimals), count) for t, count in runs(tokens)]


def tags_of(sample: Sample, patch_size: int = 14) -> list[tuple[float, int]]:
    """The time tags of a sample's first video, tokenized as the sample says.

    Raises:
        EvaluationError: the sample shows no video.
        VideoError: it cannot be read.
    """
    video = next((item for item in sample.media if item.kind == "video"), None)
    if video is None:
        raise EvaluationError(f"{sample.id} shows no video, so its prompt has no time tags")
    options = {name: value for name, value in video.options.items() if name != "timestamp_decimals"}
    tokens = video_tokens(video.path, MediaOptions(**options), None, patch_size)
    return time_tags(tokens, video.options.get("timestamp_decimals", 1))


@dataclass(frozen=True)
class BurstRule:
    """Jump times from time tags: tags close together are a burst, and every so many bursts a jump starts.

    Attributes:
        gap: seconds; tags further apart belong to different bursts.
        every: bursts from one jump to the next.
        first: how many bursts come before the first jump.
        shift: seconds from the start of a burst to the start of its jump.
    """

    gap: float = 0.2
    every: int = 2
    first: int = 0
    shift: float = 0.0

    def bursts(self, tags: Sequence[tuple[float, int]]) -> list[tuple[float, float]]:
        """(first tag, last tag) of every burst, in seconds."""
        times = [time for time, _ in tags]
        if not times:
            return []
        cuts = [place + 1 for place, (a, b) in enumerate(pairwise(times)) if b - a > self.gap + 1e-9]
        return [(times[a], times[b - 1]) for a, b in pairwise([0, *cuts, len(times)])]

    def starts(self, tags: Sequence[tuple[float, int]]) -> list[float]:
        """Predicted start times in seconds; none before 0."""
        bursts = self.bursts(tags)[self.first :: self.every]
        return [round(max(0.0, start + self.shift), 3) for start, _ in bursts]

    def answer(self, tags: Sequence[tuple[float, int]]) -> str:
        """The start times as an answer to the jump question."""
        return _listed(self.starts(tags))


def fit_bursts(train: Iterable[Sample], tags_of: Callable[[Sample], Sequence[tuple[float, int]]]) -> BurstRule:
    """The rule that scores best on the jump times in `train`, of all gaps, steps, offsets and shifts on a grid.

    Args:
        train: samples of task "jump_times"; at most 200 are used.
        tags_of: the time tags of a sample's prompt, see `time_tags`.

    Raises:
        EvaluationError: no such samples.
    """
    members = [sample for sample in train if sample.task == "jump_times"][:FITTED]
    if not members:
        raise EvaluationError("no samples of task 'jump_times' to fit the rule on")
    tags = [tags_of(sample) for sample in members]
    rules = [
        BurstRule(gap, every, first, shift) for gap, every, shift in product(GAPS, (1, 2, 3), SHIFTS) for first in range(every)
    ]
    return max(rules, key=lambda rule: _total((rule.answer(seen) for seen in tags), members))


def _grouped(samples: Iterable[Sample]) -> Mapping[tuple[str, str], list[Sample]]:
    groups = defaultdict(list)
    for sample in samples:
        groups[kind_of(sample)].append(sample)
    return groups


def _best_constant(members: Sequence[Sample], candidates: int) -> str:
    tried = [answer for answer, _ in Counter(map(reference, members)).most_common(candidates)]
    if members[0].task == "jump_times":
        tried += _paces(max((time for sample in members for time in sample.truth["times"]), default=0.0))
    judged = members[:FITTED]
    return max(tried, key=lambda answer: _total([answer] * len(judged), judged))


def _climb(answer: str, members: Sequence[Sample]) -> str:
    task, judged = members[0].task, len(members)
    write = _WRITE[task]
    times = jumpscore.parse_times(answer) if task == "jump_times" else list(grounding.parse_span(answer))
    total = -1.0
    while True:
        steps = [times[:i] + [time + step] + times[i + 1 :] for i, time in enumerate(times) for step in STEPS]
        if task == "jump_times":
            steps += [times[:i] + times[i + 1 :] for i in range(len(times))]
            steps += [[*times, time] for time in np.arange(0, max(times, default=0) + 1, 0.25)]
        scores = {write(times): _total([write(times)] * judged, members) for times in [times, *steps]}
        best = max(scores, key=scores.get)
        if scores[best] <= total:
            return write(times)
        total = scores[best]
        times = next(step for step in [times, *steps] if write(step) == best)


def _paces(end: float) -> list[str]:
    """Lists at a constant pace up to `end` seconds, from four phases each."""
    return [pace(period, end, phase) for period in PERIODS for phase in (0.25, 0.5, 0.75, 1)]


def _listed(times: Iterable[float]) -> str:
    return f"[{', '.join(f'{time:g}' for time in times)}]"


_WRITE: Mapping[str, Callable[[Sequence[float]], str]] = {
    "jump_times": lambda times: _listed(sorted(round(max(0.0, time), 2) for time in times)),
    "grounding": lambda span: f"{max(0.0, span[0]):.2f} to {span[1]:.2f}",
}


def _total(answers: Iterable[str], samples: Sequence[Sample]) -> float:
    return sum(next(iter(score(answer, sample).values())) for answer, sample in zip(answers, samples, strict=True))


def _name(kind: tuple[str, str]) -> str:
    return "/".join(filter(None, kind))

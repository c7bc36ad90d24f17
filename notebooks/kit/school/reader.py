"""A reader of visual tokens that is no language model: what an input holds, read off in seconds of training.

It is given what a model is given: for every visual token the pixels of its block, its place, and the time that its tag says.
It answers for every moment of the clip at once, whether a jump starts there and whether somebody walks by there. A list of
32 yes or no a clip teaches more than one list of times in words, so that all arms of a comparison can be trained until they
use what they have, on a laptop; and how well a model writes lists no longer matters.

    pixels [3, 28, 28] → two convolutions ─┐
    row, column → table ───────────────────┼→ + → 2 layers of attention over all tokens → moments ask → two logits a moment
    time → sine and cosine ────────────────┘

A moment looks at tokens near in time first (a slope of its attention, as in ALiBi). Without eyes pixels and places are zero:
what is left is how many tokens stand at which times, which is what the tags tell.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from ov2lib.evaluate.grounding import parse_span
from ov2lib.evaluate.jumpscore import TOLERANCES, average_precision
from ov2lib.files import whole_folder
from ov2lib.samples.cache import TokenCache
from ov2lib.samples.sample import Sample
from ov2lib.tokens import MERGE, VisualTokens

from ..errors import MiniError
from ..world.stories import FAST, FRAMES
from ..world.world import CELL

WIDTH, HEADS = 64, 4
SLOPES = torch.tensor([2.0, 1.0, 0.5, 0.25])  # of the heads: how fast a moment's attention falls with distance in frames
EVENT = 4  # frames that a jump or a passer-by lasts; the next event starts a frame later at the earliest
LEARNING_RATE, BATCH = 3e-3, 16
THRESHOLDS = np.linspace(0.1, 0.9, 17)


@dataclass(frozen=True, eq=False)
class Seen:
    """Visual tokens of one clip as the reader takes them.

    Attributes:
        pixels: uint8 [n, 3, 28, 28]; place: int64 [n], 0 to 3 in the 2x2 grid of the source; time: int64 [n], source frame.
    """

    pixels: torch.Tensor
    place: torch.Tensor
    time: torch.Tensor


def see(tokens: VisualTokens) -> Seen:
    """The visual tokens of a mini clip, padding left out."""
    n, side = len(tokens.canvases), tokens.canvases.shape[1] // CELL
    blocks = tokens.canvases.reshape(n, side, CELL, side, CELL, 3).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 3, CELL, CELL)
    t, row, col = tokens.patch_positions.reshape(n, *tokens.grid, 3)[:, ::MERGE, ::MERGE].reshape(-1, 3).T
    used = t >= 0
    place = row // MERGE * 2 + col // MERGE
    return Seen(torch.from_numpy(blocks[used]), torch.from_numpy(place[used]), torch.from_numpy(t[used]))


class Reader(nn.Module):
    """See the module's text.

    Args:
        eyes: False zeroes pixels and places for good.
    """

    def __init__(self, eyes: bool = True):
        super().__init__()
        self.eyes = eyes
        self.look = nn.Sequential(
            nn.Conv2d(3, 24, 7, 3), nn.GELU(), nn.Conv2d(24, 48, 3, 2), nn.GELU(), nn.Flatten(), nn.Linear(432, WIDTH),
            nn.LayerNorm(WIDTH),
        )  # fmt: skip
        self.place = nn.Embedding(4, WIDTH)
        periods = torch.logspace(np.log10(3), np.log10(4 * FRAMES), WIDTH // 2)
        angles = 2 * np.pi * torch.arange(FRAMES)[:, None] / periods
        self.register_buffer("moments", torch.cat([angles.sin(), angles.cos()], dim=1), persistent=False)
        self.clock = nn.Linear(WIDTH, WIDTH)
        layer = {"dim_feedforward": 2 * WIDTH, "dropout": 0.1, "batch_first": True, "norm_first": True}
        self.mix = nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, HEADS, **layer), 2, enable_nested_tensor=False)
        self.ask = nn.TransformerDecoderLayer(WIDTH, HEADS, **layer)
        self.answer = nn.Linear(WIDTH, 2)

    def forward(self, clips: Sequence[Seen], blind: bool = False) -> torch.Tensor:
        """Logits [clips, 32, 2]: a jump starts at this moment, somebody is walking by at it. Clips may differ in length."""
        longest = max(len(clip.time) for clip in clips)
        padding = torch.ones(len(clips), longest, dtype=torch.bool)
        tokens = torch.zeros(len(clips), longest, WIDTH)
        sizes = [len(clip.time) for clip in clips]
        flat = self.clock(self.moments[torch.cat([clip.time for clip in clips])])
        if self.eyes and not blind:
            pixels = torch.cat([clip.pixels for clip in clips]).float() / 64 - 1
            flat = flat + self.look(pixels) + self.place(torch.cat([clip.place for clip in clips]))
        for number, part in enumerate(flat.split(sizes)):
            padding[number, : len(part)] = False
        tokens = tokens.masked_scatter(~padding[..., None], flat)
        mixed = self.mix(tokens, src_key_padding_mask=padding)
        questions = self.clock(self.moments).expand(len(clips), -1, -1)
        far = torch.zeros(len(clips), longest).masked_scatter(~padding, torch.cat([clip.time for clip in clips]).float())
        far = (far[:, None] - torch.arange(FRAMES)[:, None]).abs().masked_fill(padding[:, None], torch.inf)
        nearness = -far[:, None] * SLOPES[:, None, None]  # [clips, heads, 32, longest]
        return self.answer(self.ask(questions, mixed, memory_mask=nearness.flatten(0, 1)))


def target(sample: Sample) -> torch.Tensor:
    """Float [32, 2] of a training conversation that holds both answers."""
    labels = torch.zeros(FRAMES, 2)
    for role, text in sample.messages:
        if role == "assistant" and text.startswith("["):
            labels[[round(time * FAST) for time in json.loads(text)], 0] = 1
        elif role == "assistant":
            start, end = (round(time * FAST) for time in parse_span(text))
            labels[start:end, 1] = 1
    return labels


def fit(samples: Sequence[Sample], cache: TokenCache, steps: int, seed: int, eyes: bool = True) -> tuple[Reader, list[float]]:
    """Train a reader on conversations with both answers.

    Args:
        samples: training clips, each at a budget of its own.
        cache: tokenizes them.
        steps: of 16 clips each.
        seed: of the initial weights and the order.
        eyes: see `Reader`.

    Returns:
        the reader in evaluation mode, and the loss of each step.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader, losses, rng = Reader(eyes), [], np.random.default_rng(seed)
        clips = [see(cache.tokens(sample.media[0])) for sample in samples]
        labels = torch.stack([target(sample) for sample in samples])
        weight = torch.tensor([5.0, 2.0])  # most moments are quiet
        optimizer = torch.optim.AdamW(reader.parameters(), LEARNING_RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
        for _ in range(steps):
            batch = rng.integers(len(clips), size=BATCH)
            logits = reader([clips[number] for number in batch])
            loss = functional.binary_cross_entropy_with_logits(logits, labels[batch], pos_weight=weight)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    return reader.eval(), losses


def jump_times(chances: np.ndarray, threshold: float) -> list[float]:
    """Starts in seconds: the likeliest moments above a threshold, none within an event of a likelier one."""
    left, starts = chances.astype(float).copy(), []
    while (best := int(left.argmax())) >= 0 and left[best] > threshold:
        starts.append(best / FAST)
        left[max(0, best - EVENT) : best + EVENT + 1] = 0
    return sorted(starts)


def span(chances: np.ndarray) -> tuple[float, float]:
    """The window of an event's length that is likeliest, in seconds."""
    start = int(np.convolve(chances, np.ones(EVENT), "valid").argmax())
    return start / FAST, (start + EVENT) / FAST


@dataclass(frozen=True, eq=False)
class ReaderPredictor:
    """Answers samples; a `predict` for `ov2lib.evaluate.run.evaluate`.

    Attributes:
        reader, cache: as trained.
        threshold: above which a jump is called.
        blind: zero pixels and places.
    """

    reader: Reader
    cache: TokenCache
    threshold: float
    blind: bool = False
    batch_size: int = 64

    def many(self, samples: Sequence[Sample]) -> list[str]:
        """The answers, in the words of the task."""
        with torch.inference_mode():
            logits = self.reader([see(self.cache.tokens(sample.media[0])) for sample in samples], self.blind)
        return [self._words(sample, chances) for sample, chances in zip(samples, logits.sigmoid().numpy(), strict=True)]

    def _words(self, sample: Sample, chances: np.ndarray) -> str:
        if sample.task == "jump_times":
            return f"[{', '.join(f'{time:.1f}' for time in jump_times(chances[:, 0], self.threshold))}]"
        if sample.task == "grounding":
            start, end = span(chances[:, 1])
            return f"{start:.1f} to {end:.1f}"
        raise MiniError(f"{sample.id}: the reader answers jump_times and grounding, not {sample.task!r}")


def choose_threshold(reader: Reader, samples: Sequence[Sample], cache: TokenCache) -> float:
    """The threshold with the best mean average precision on training clips."""
    with torch.inference_mode():
        chances = reader([see(cache.tokens(sample.media[0])) for sample in samples])[..., 0].sigmoid().numpy()
    truths = [(target(sample)[:, 0].nonzero().ravel() / FAST).tolist() for sample in samples]

    def quality(threshold: float) -> float:
        said = [jump_times(one, threshold) for one in chances]
        return sum(average_precision(a, b, reach) for a, b in zip(said, truths, strict=True) for reach in TOLERANCES)

    return float(max(THRESHOLDS, key=quality))


def save(reader: Reader, threshold: float, losses: Sequence[float], folder: Path) -> None:
    """Write weights, threshold and the losses of training; the folder appears whole."""
    with whole_folder(folder, MiniError) as scratch:
        save_file(reader.state_dict(), scratch / "model.safetensors")
        (scratch / "config.json").write_text(json.dumps({"eyes": reader.eyes, "threshold": threshold, "losses": list(losses)}))


def predictor(folder: Path, cache: TokenCache, blind: bool) -> ReaderPredictor:
    """What `save` wrote, ready to answer.

    Raises:
        MiniError: nothing is there.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        weights = load_file(folder / "model.safetensors")
    except OSError as error:
        raise MiniError(f"{folder} holds no reader ({error})") from error
    reader = Reader(config["eyes"])
    reader.load_state_dict(weights)
    return ReaderPredictor(reader.eval(), cache, config["threshold"], blind)

"""The mini model itself as the one that answers in a sweep (`--answerer mini`): trained and asked in words.

It needs hours where `reader` needs minutes: 600 steps of 8 clips leave it at the loss of one who knows the form of an answer
and nothing of the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ov2lib.errors import TrainingError
from ov2lib.evaluate.predict import Predictor
from ov2lib.files import whole_folder
from ov2lib.samples.cache import TokenCache
from ov2lib.samples.sample import Media, Sample
from ov2lib.tokens import VisualTokens
from ov2lib.train.run import train
from ov2lib.train.stages import Source
from ov2lib.train.start import load_start, result_of, run_folder

from .model import give_times_a_code, mini_model, mini_processor
from .recipe import mini_stage
from .training import write_samples

BATCH = 8
ANSWER_TOKENS = 24


@dataclass(frozen=True)
class CachedPredictor(Predictor):
    """A predictor whose clips are tokenized once; `cache` is shared with training."""

    cache: TokenCache | None = None

    def visual(self, item: Media) -> VisualTokens:
        return self.cache.tokens(item)


def write_start(folder: Path, seed: int, eyes: bool = True) -> Path:
    """Fresh weights of the mini model, its times with a code (`model.give_times_a_code`).

    Without eyes its connector gives zeros, whatever is seen: with vision encoder and connector frozen it learns from the prompt
    alone, which is which moments have tokens, and how many. Nothing else is lost, since an encoder whose pixels are all equal
    gives every block the same vector.
    """
    if not (folder / "config.json").is_file():
        model = mini_model(seed)
        give_times_a_code(model)
        if not eyes:
            last = [module for module in model.model.visual.merger.modules() if isinstance(module, torch.nn.Linear)][-1]
            for parameter in last.parameters():
                torch.nn.init.zeros_(parameter)
        with whole_folder(folder, TrainingError) as scratch:
            model.save_pretrained(scratch)
            mini_processor().save_pretrained(scratch)
    return folder


def train_one(samples: Sequence[Sample], steps: int, seed: int, eyes: bool, folder: Path, media: Path) -> Path:
    """Train on conversations with both answers, by the recipe of stage 4; the folder of the result.

    Args:
        samples: training clips, each at a budget of its own.
        steps: of 8 clips each.
        seed: of the initial weights and the order.
        eyes: see `write_start`.
        folder: of the run, which is resumed.
        media: cache of tokenized clips.
    """
    data = folder / "data.jsonl"
    if not data.is_file():
        write_samples(samples, data)
    base = mini_stage(4)
    chosen = {"sources": (Source("skipping", "mini_world", len(samples), "video"),), "steps": steps, "seed": seed}
    chosen |= {"packing": "pool", "micro_batch": BATCH, "global_batch": BATCH}  # half the time of packed bins on a CPU
    chosen |= {} if eyes else {"trainable": ("language",)}
    config = replace(base, **chosen, origin=base.origin | dict.fromkeys(chosen, "assumed: the sweep's own"))
    return train(config, folder, write_start(folder / "start", seed, eyes), {"skipping": str(data)}, media)


def predictor(folder: Path, cache: TokenCache, blind: bool) -> CachedPredictor:
    """What `train_one` left in `folder`, ready to answer."""
    model, processor = load_start(result_of(run_folder(folder, 4, "full", "mini")))
    form = mini_stage(4).frames_prompt
    return CachedPredictor(model.eval(), processor, ANSWER_TOKENS, batch_size=80, blind=blind, frames_prompt=form, cache=cache)

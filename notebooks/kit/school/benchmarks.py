"""The paper's timing, grounding, tracking and spatial benchmarks in the small: test questions of the mini world's stage 4.

Real video files, the parsers and metrics of the real benchmarks, a known truth; scores say nothing about the real ones.

| name | asked | scored as |
|---|---|---|
| JumpScore-mini | when each jump starts | JumpScore: mAP |
| grounding-mini | when somebody walks by | TimeLens: mIoU |
| tracking-mini | the track of one thing, as text | J&F of the scene's own masks, selected by the points |
| spatial-mini | where one thing is from another at the end | choice: accuracy |
"""

from ov2lib.samples.sample import Sample

from ..errors import MiniError
from ..world.tasks import stage_samples

STAGE = 4
BENCHMARKS = {  # name: (task, kind) of its questions
    "JumpScore-mini": ("jump_times", "jumps"),
    "grounding-mini": ("grounding", "passer-by"),
    "tracking-mini": ("tracks", "tracks"),
    "spatial-mini": ("choice", "relation"),
}
SAMPLES = 60
TURN = 8  # stage 4's test world asks about two kinds of clip in turn, four questions each


def benchmark(name: str, samples: int = SAMPLES, seed: int = 0) -> list[Sample]:
    """The questions of one benchmark, all from the test world, their clips rendered into the cache.

    Raises:
        MiniError: no such benchmark, or a number below 1.
    """
    if name not in BENCHMARKS or samples < 1:
        raise MiniError(f"{samples} samples of {name!r}: give 1 or more of {', '.join(BENCHMARKS)}")
    asked = stage_samples(STAGE, "test", samples * TURN, seed)
    return [sample for sample in asked if (sample.task, sample.truth["kind"]) == BENCHMARKS[name]]

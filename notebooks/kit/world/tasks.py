"""What the mini world asks at each stage, in the schema of real corpora.

| stage | scenes | asked |
|---|---|---|
| 1 bootstrap | pictures of up to four things | caption, colour, shape, place |
| 2 instruct | pictures; clips of 31 s | counts and relations; which way, where and what colour at the start and at the end |
| 3 long video | clips of 76 s, sampled every 5 s | a timed caption, what comes first and last, a flash, when things are there |
| 4 codec | clips of 6 s as codec canvases | a timed caption, jump times, who walks by and when, point tracks, relations |

Sight itself is quick; what a small model finds late is the thing that a word names. So answers are sentences that name it
first ("the disc is red"): what is to be looked up stands right before what is to be said, in captions and in answers alike. A
place is one word, a relation is told after both places, and a training conversation asks several questions about a scene.

From stage 2 on, one training sample in five is of the stage before, as the paper's stages keep their image instructions.
"""

from collections.abc import Callable

import numpy as np

from ov2lib.samples.sample import Sample

from ..errors import MiniError
from .scene import Question, Scene
from .stills import counting, describing, naming, relation
from .stories import change, motion, parade, roaming, skipping_told

RECIPES: dict[int, tuple[Callable[[np.random.Generator], Scene], ...]] = {
    1: (naming, naming, describing),
    2: (counting, relation, motion, change),
    3: (parade,),
    4: (skipping_told, roaming),
}
REPLAY = 5  # every fifth training sample, from stage 2 on, comes from the stage before
SPLITS = ("train", "test")


def stage_samples(stage: int, split: str = "train", samples: int = 1000, seed: int = 0) -> list[Sample]:
    """Conversations of one stage, rendered into the cache.

    In the training world a conversation asks everything about its scene, in changing order; in the test world it asks one
    question (counting: both, in turn), and questions of all kinds come equally often. Test samples are of this stage alone.

    Args:
        stage: 1 to 4.
        split: "train" or "test"; no layout of things and events is in both, whatever the seeds.
        samples: how many; the first n of a larger number are the same.
        seed: another seed, other scenes.

    Raises:
        MiniError: an unknown stage or split, a negative number, or a cache folder that cannot be written.
    """
    if stage not in RECIPES or split not in SPLITS or samples < 0 or seed < 0:
        raise MiniError(
            f"stage {stage}, split {split!r}, {samples} samples, seed {seed}: stages are 1 to 4, splits train and test"
        )
    return [_sample(stage, split, index, seed) for index in range(samples)]


def _sample(stage: int, split: str, index: int, seed: int) -> Sample:
    rng = np.random.default_rng([stage, SPLITS.index(split), seed, index])
    source = stage - 1 if split == "train" and stage > 1 and index % REPLAY == REPLAY - 1 else stage
    builders = RECIPES[source]
    turn, place = divmod(index // REPLAY if source != stage else index, len(builders))
    scene = draw(builders[place], split, rng)
    questions = scene.questions
    if split == "train" or builders[place] is counting:
        asked = [questions[int(i)] for i in rng.permutation(len(questions))]
    else:
        asked = [questions[turn % len(questions)]]
    return conversation(f"mini-{stage}-{split}-{seed}-{index}", scene, asked)


def draw(build: Callable[[np.random.Generator], Scene], split: str, rng: np.random.Generator) -> Scene:
    """The next scene of one world, not rendered yet."""
    while (scene := build(rng)).split != split:
        pass
    return scene


def conversation(name: str, scene: Scene, asked: list[Question]) -> Sample:
    """Questions about one scene, rendered into the cache; the sample is scored by its last question."""
    media = scene.media()
    messages = [turn for question in asked for turn in (("user", question.text), ("assistant", question.answer))]
    messages[0] = ("user", f"<{media.kind}>\n{asked[0].text}")
    last = asked[-1]
    return Sample(name, tuple(messages), (media,), last.task, {"kind": last.kind, **last.truth})

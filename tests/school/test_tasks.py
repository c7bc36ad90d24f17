"""The mini world's tasks: the real schema, known answers that the pixels show, and two worlds that share nothing."""

from collections import Counter

import av
import numpy as np
import pytest
from PIL import Image

from kit.errors import MiniError
from kit.world import stories, tasks
from kit.world.world import COLOURS, PLACES
from ov2lib.evaluate import grounding, jumpscore, tracking
from ov2lib.evaluate.scorers import reference, score
from ov2lib.samples.sample import check_sample, parse_sample

STAGES = (1, 2, 3, 4)
BUILDERS = list(dict.fromkeys(build for builders in tasks.RECIPES.values() for build in builders))  # each once, in order


@pytest.fixture(scope="module")
def questions_of():
    return {stage: tasks.stage_samples(stage, "test", 16) for stage in STAGES}


def pixels(sample):
    """uint8 [T, H, W, 3] of the sample's only medium."""
    item = sample.media[0]
    if item.kind == "image":
        return np.asarray(Image.open(item.path))[None]
    with av.open(item.path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def of_colour(pictures, colour):
    """bool [T, H, W]: pixels nearer to the colour than 40 grey levels."""
    return np.abs(pictures.astype(float) - COLOURS[colour]).max(-1) < 40


# --- the schema -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("split", tasks.SPLITS)
def test_samples_are_whole_and_survive_json(stage, split):
    for sample in tasks.stage_samples(stage, split, 6, seed=3):
        check_sample(sample)
        assert parse_sample(sample.to_json()) == sample
        assert sample.task and sample.truth["kind"] and len(pixels(sample))


@pytest.mark.parametrize("stage", STAGES)
def test_the_same_call_gives_the_same_samples_and_a_longer_one_begins_alike(stage):
    short = tasks.stage_samples(stage, "train", 5)
    assert tasks.stage_samples(stage, "train", 7)[:5] == short
    assert tasks.stage_samples(stage, "train", 5, seed=1) != short


def test_stages_hold_what_they_promise(questions_of):
    kinds = {stage: {sample.truth["kind"] for sample in samples} for stage, samples in questions_of.items()}
    assert kinds == {
        1: {"colour", "shape", "place", "caption"},
        2: {"count", "relation", "place", "motion", "change"},
        3: {"story", "order", "needle", "span"},
        4: {"jumps", "passer-by", "colour", "story", "tracks", "relation", "place"},
    }
    assert max(sample.rounds for sample in questions_of[2]) == 2
    backends = {stage: {sample.media[0].options.get("video_backend") for sample in questions_of[stage]} for stage in STAGES}
    assert backends == {1: {None}, 2: {None, "frames"}, 3: {"frames"}, 4: {"codec"}}


@pytest.mark.parametrize("stage", STAGES[1:])
def test_one_training_sample_in_five_is_of_the_stage_before(stage):
    kinds = [sample.truth["kind"] for sample in tasks.stage_samples(stage, "train", 25)]
    own = {sample.truth["kind"] for sample in tasks.stage_samples(stage, "test", 16)}
    before = {sample.truth["kind"] for sample in tasks.stage_samples(stage - 1, "test", 16)}
    assert all(kind in (before if index % 5 == 4 else own) for index, kind in enumerate(kinds))


@pytest.mark.parametrize("arguments", [(0,), (5,), (1, "dev"), (1, "train", -1), (1, "train", 1, -1)])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(MiniError, match="stages are 1 to 4"):
        tasks.stage_samples(*arguments)


# --- two worlds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_no_layout_is_in_both_worlds(build):
    worlds = {
        split: [tasks.draw(build, split, np.random.default_rng([seed, 9])) for seed in range(300)] for split in tasks.SPLITS
    }
    layouts = {split: {scene.layout for scene in scenes} for split, scenes in worlds.items()}
    assert len(layouts["test"]) > 30 and not layouts["train"] & layouts["test"]


@pytest.mark.parametrize("stage", STAGES)
def test_no_file_is_in_both_worlds(stage):
    files = [{sample.media[0].path for sample in tasks.stage_samples(stage, split, 20, seed=5)} for split in tasks.SPLITS]
    assert not files[0] & files[1]


# --- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_no_constant_answer_to_a_choice_is_much_better_than_chance(build):
    answers = {}
    for seed in range(400):
        for question in build(np.random.default_rng([seed, 8])).questions:
            if question.task == "choice":
                answers.setdefault((question.kind, tuple(question.truth["choices"])), []).append(question.truth["answer"])
    for (_, choices), given in answers.items():
        assert Counter(given).most_common(1)[0][1] / len(given) < 1.5 / len(choices) + 0.05
        assert set(given) == set(choices)


def test_colours_and_places_are_what_the_picture_shows():
    for sample in tasks.stage_samples(1, "test", 30):
        if sample.truth["kind"] == "caption":
            picture = pixels(sample)[0]
            for part in sample.messages[-1][1].split(" and "):
                _, colour, _, place = part.split()
                row, col = divmod(PLACES.index(place), 2)
                seen = np.argwhere(of_colour(picture, colour)).mean(0)
                assert np.abs(seen - [28 * row + 13.5, 28 * col + 13.5]).max() < 6


def test_motion_and_change_are_what_the_clip_shows():
    for seed in range(8):
        scene = stories.motion(np.random.default_rng(seed))
        first, last = ends = clip_ends(scene)
        for (_, colour), question in zip(scene.layout[1:3], scene.questions[:2], strict=True):
            (up, left), (down, right) = (np.argwhere(of_colour(end, colour)).mean(0) for end in ends)
            ways = {"left": left - right, "right": right - left, "up": up - down, "down": down - up}
            assert max(ways, key=ways.get) == question.truth["answer"]
        colour = scene.layout[1][1]
        for picture, question in zip((last, first), scene.questions[:1:-1], strict=True):
            row, col = np.argwhere(of_colour(picture, colour)).mean(0) > 28
            assert PLACES[2 * row + col] == question.truth["answer"]
        scene = stories.change(np.random.default_rng(seed))
        old, new = (question.truth["answer"] for question in scene.questions)
        shown = [[of_colour(end, colour).sum() > 100 for colour in (old, new)] for end in clip_ends(scene)]
        assert shown == [[True, False], [False, True]]


def clip_ends(scene):
    """The first and the last picture of a scene's clip."""
    with av.open(scene.media().path) as container:
        clip = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return clip[0], clip[-1]


def test_jump_times_are_when_the_figure_leaves_the_ground_and_not_the_other_bursts(questions_of):
    for sample in questions_of[4]:
        if sample.task == "jump_times":
            clip = pixels(sample).astype(float)
            rest = np.median(clip, axis=0)
            feet = np.abs(clip - rest)[:, -6:].max(-1) > 80  # the lowest rows: the rope is black, the feet are gone
            busy = [t for t in range(len(clip)) if np.abs(clip[t] - rest).max(-1).__gt__(80).sum() > 20]
            starts = [t for t in busy if t - 1 not in busy]
            assert {round(time * stories.FAST) for time in sample.truth["times"]} < set(busy)
            assert len(starts) >= 2 and len(sample.truth["times"]) < 4
            for time in sample.truth["times"]:
                assert feet[round(time * stories.FAST)].any()
            assert jumpscore.score(sample.messages[-1][1], sample.messages[-1][1]).map == 1


@pytest.mark.parametrize("stage", STAGES)
def test_the_true_answer_has_full_marks(questions_of, stage):
    for sample in questions_of[stage]:
        metrics = score(reference(sample), sample)
        assert next(iter(metrics.values())) > (0.8 if sample.task == "tracks" else 0.999), sample


def test_spans_are_read_back_from_their_answers(questions_of):
    for sample in questions_of[3] + questions_of[4]:
        if sample.task == "grounding":
            assert grounding.temporal_iou(grounding.parse_span(sample.messages[-1][1]), sample.truth["span"]) == 1


def test_tracks_lie_on_the_thing_they_name(questions_of):
    sample = next(sample for sample in questions_of[4] if sample.task == "tracks")
    colour = sample.truth["targets"][0].split()[0]
    clip, said = pixels(sample), tracking.parse_tracks(sample.messages[-1][1])
    assert list(said) == sample.truth["times"]
    for time, points in said.items():
        x, y = (int(value * 56 / 1000) for value in points["1"])
        assert of_colour(clip[round(time * stories.FAST)], colour)[y - 3 : y + 4, x - 3 : x + 4].any()

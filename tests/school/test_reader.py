import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from kit.errors import MiniError
from kit.school import reader, sweep
from kit.world.stories import FAST, FRAMES
from ov2lib.evaluate.scorers import score


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return sweep.token_cache(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module")
def clips():
    return sweep.mixed(sweep.clips("train", 12, together=True), "codec", (4, 8))


def test_it_is_shown_the_blocks_at_their_places(cache, clips):
    tokens = cache.tokens(clips[0].media[0])
    seen = reader.see(tokens)
    t, row, col = tokens.patch_positions[tokens.merge_order][::4].T
    block = tokens.canvases[0, 28:, :28].transpose(2, 0, 1)  # third token of the first canvas
    assert torch.equal(seen.pixels[2], torch.from_numpy(block.copy()))
    assert torch.equal(seen.time, torch.from_numpy(t)) and torch.equal(seen.place, torch.from_numpy(row + col // 2))


def test_the_target_says_what_the_answers_say(clips):
    wanted = reader.target(clips[0])
    answers = [text for role, text in clips[0].messages if role == "assistant"]
    listed = next(text for text in answers if text.startswith("["))
    stated = next(text for text in answers if " to " in text)
    assert f"[{', '.join(f'{k / FAST:.1f}' for k in wanted[:, 0].nonzero().ravel().tolist())}]" == listed
    during = wanted[:, 1].nonzero().ravel().tolist()
    assert stated.endswith(f" {during[0] / FAST:.1f} to {(during[-1] + 1) / FAST:.1f}")


def test_perfect_chances_score_one(clips):
    for sample in sweep.clips("test", 3):
        together = next(s for s in sweep.clips("test", 3, together=True) if s.media == sample.media)
        chances = reader.target(together).numpy()
        start, end = reader.span(chances[:, 1])
        said = {"jump_times": str(reader.jump_times(chances[:, 0], 0.5)), "grounding": f"{start:.1f} to {end:.1f}"}
        assert next(iter(score(said[sample.task], sample).values())) == pytest.approx(1)


def test_jumps_keep_their_distance_and_the_likelier_wins():
    chances = np.zeros(FRAMES)
    chances[[4, 6, 20]] = [0.6, 0.9, 0.7]
    assert reader.jump_times(chances, 0.5) == [6 / FAST, 20 / FAST]
    assert reader.jump_times(chances, 0.95) == []


def test_clips_of_other_lengths_in_a_batch_change_nothing(cache, clips):
    torch.manual_seed(0)
    network, seen = reader.Reader().eval(), [reader.see(cache.tokens(sample.media[0])) for sample in clips[:2]]
    assert len(seen[0].time) != len(seen[1].time)
    with torch.inference_mode():
        assert torch.allclose(network(seen)[0], network(seen[:1])[0], atol=1e-5)


def test_pixels_matter_to_the_seeing_only(cache, clips):
    seen = [reader.see(cache.tokens(clips[0].media[0]))]
    for eyes in (True, False):
        network = reader.Reader(eyes).eval()
        with torch.inference_mode():
            assert torch.equal(network(seen), network(seen, blind=True)) == (not eyes)


def test_it_learns_and_is_the_same_from_the_same_seed(cache, clips, tmp_path):
    trained, losses = reader.fit(clips, cache, 12, 3)
    again, same = reader.fit(clips, cache, 12, 3)
    assert losses == same and np.mean(losses[-3:]) < losses[0]
    threshold = reader.choose_threshold(trained, clips, cache)
    reader.save(trained, threshold, losses, tmp_path / "kept")
    asked = [sweep.shown(sample, "codec", 4) for sample in sweep.clips("test", 2)]
    read = reader.predictor(tmp_path / "kept", cache, False)
    assert read.threshold == threshold
    assert read.many(asked) == reader.ReaderPredictor(again, cache, threshold).many(asked)


def test_a_folder_without_a_reader_is_named(cache, tmp_path):
    with pytest.raises(MiniError, match="holds no reader"):
        reader.predictor(tmp_path / "nothing", cache, False)

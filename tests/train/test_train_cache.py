"""The token cache: the same tokens as without it, made once, made again when damaged, and safe to share."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ov2lib.errors import Ov2Error, TrainingError, VideoError
from ov2lib.samples import cache
from ov2lib.samples.cache import TokenCache
from ov2lib.samples.media import MediaOptions, image_tokens, video_tokens
from ov2lib.samples.sample import Media

BEACH = Path(__file__).parents[1] / "data" / "beach_360x640_h264.mp4"
CODEC = {"num_canvases": 4, "max_pixels": 12_544}
FRAMES = {"video_backend": "frames", "num_frames": 3, "min_pixels": 784, "max_pixels": 12_544}


def same(one, other):
    arrays = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in cache.ARRAYS)
    dtypes = all(getattr(one, name).dtype == getattr(other, name).dtype for name in cache.ARRAYS)
    return (
        arrays
        and dtypes
        and all(
            getattr(one, name) == getattr(other, name) for name in ("fps", "patch_size", "kind", "config", "merge", "source")
        )
    )


def entries(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def picture(tmp_path):
    def make(color="red", name="a.png"):
        (tmp_path / "media").mkdir(exist_ok=True)
        Image.new("RGB", (60, 40), color).save(tmp_path / "media" / name)
        return Media("image", str(tmp_path / "media" / name))

    return make


@pytest.fixture
def no_front_end(monkeypatch):
    """From when it is called, tokens can only come from the cache."""

    def forbid():
        def refuse(*_args, **_named):
            raise AssertionError("tokens were made again")

        monkeypatch.setattr(cache, "video_tokens", refuse)
        monkeypatch.setattr(cache, "image_tokens", refuse)

    return forbid


@pytest.mark.parametrize("options", [CODEC, FRAMES])
def test_clips_are_tokenized_once_and_as_at_inference(tmp_path, no_front_end, options):
    media = Media("video", str(BEACH), options | {"timestamp_decimals": 2})
    wanted = video_tokens(str(BEACH), MediaOptions(**options), None, 14)
    first = TokenCache(tmp_path)
    assert same(first.tokens(media), wanted)
    no_front_end()
    assert same(first.tokens(media), wanted)
    assert same(TokenCache(tmp_path).tokens(media), wanted)


def test_images_are_tokenized_once_and_as_at_inference(tmp_path, picture, no_front_end):
    media, bounds = picture(), {"shortest_edge": 3136, "longest_edge": 7840}
    wanted = image_tokens(media.path, 3136, 7840, 14)
    assert same(TokenCache(tmp_path / "cache", image_pixels=bounds).tokens(media), wanted)
    no_front_end()
    assert same(TokenCache(tmp_path / "cache", image_pixels=bounds).tokens(media), wanted)
    sized = TokenCache(tmp_path / "cache").tokens(media, MediaOptions(min_pixels=3136, max_pixels=7840))
    assert same(sized, wanted)


def test_the_content_counts_and_not_the_name(tmp_path, picture, no_front_end):
    tokens = TokenCache(tmp_path / "cache")
    red = tokens.tokens(picture("red"))
    no_front_end()
    again = tokens.tokens(picture("red", "b.png"))
    assert same(replace(red, source=again.source), again) and again.source.endswith("b.png")


def test_a_file_that_changes_is_read_again(tmp_path, picture):
    tokens = TokenCache(tmp_path / "cache")
    red, blue = tokens.tokens(picture("red")), tokens.tokens(picture("blue"))
    assert red.canvases[0, 0, 0].tolist() == [255, 0, 0] and blue.canvases[0, 0, 0].tolist() == [0, 0, 255]


def test_a_files_content_is_hashed_once(tmp_path, picture, monkeypatch):
    hashed, digest = [], cache.hashlib.file_digest
    monkeypatch.setattr(cache.hashlib, "file_digest", lambda *given: hashed.append(given) or digest(*given))
    tokens, media = TokenCache(tmp_path / "cache"), picture()
    for _ in range(3):
        tokens.tokens(media)
    assert len(hashed) == 1


def test_every_option_that_matters_makes_an_entry_and_no_other(tmp_path, picture):
    tokens, media = TokenCache(tmp_path / "cache"), picture()
    tokens.tokens(media, MediaOptions(max_pixels=7840, min_pixels=3136))
    tokens.tokens(replace(media, options={"max_pixels": 7840, "timestamp_decimals": 2}), MediaOptions(min_pixels=3136))
    tokens.tokens(media, MediaOptions("frames", num_frames=8, max_pixels=7840, min_pixels=3136))  # an image has no frames
    assert len(entries(tmp_path / "cache")) == 1
    tokens.tokens(media, MediaOptions(max_pixels=15_680, min_pixels=3136))
    assert len(entries(tmp_path / "cache")) == 2


def damages(whole):
    middle = len(whole) // 2
    flipped = bytes([whole[middle] ^ 1])
    return [b"", whole[:20], whole[:-1], whole[:middle] + flipped + whole[middle + 1 :], whole[:32]]


def test_a_damaged_entry_is_made_again(tmp_path, picture):
    media, folder = picture(), tmp_path / "cache"
    wanted = TokenCache(folder).tokens(media)
    (entry,) = entries(folder)
    whole = entry.read_bytes()
    for damaged in damages(whole):
        entry.write_bytes(damaged)
        assert same(TokenCache(folder).tokens(media), wanted)
        assert entry.read_bytes() == whole


def test_two_at_once_leave_one_whole_entry(tmp_path, picture, monkeypatch):
    media, both, got = picture(), threading.Barrier(2, timeout=60), []
    monkeypatch.setattr(cache, "image_tokens", lambda *given, **named: both.wait() is None or image_tokens(*given, **named))
    racers = [threading.Thread(target=lambda: got.append(TokenCache(tmp_path / "cache").tokens(media))) for _ in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(got) == 2 and same(*got)
    assert len(entries(tmp_path / "cache")) == 1
    assert same(TokenCache(tmp_path / "cache").tokens(media), got[0])


def test_memory_is_bounded_and_keeps_what_was_used_last(tmp_path, picture, no_front_end):
    colors = {color: picture(color, f"{color}.png") for color in ("red", "green", "blue")}
    probe = TokenCache(tmp_path / "probe").tokens(colors["red"])
    room = sum(getattr(probe, name).nbytes for name in cache.ARRAYS)
    tokens = TokenCache(tmp_path / "cache", in_memory=2 * room)
    for color in ("red", "green", "red", "blue"):
        tokens.tokens(colors[color])
    shutil.rmtree(tmp_path / "cache")
    no_front_end()
    tokens.tokens(colors["red"])
    tokens.tokens(colors["blue"])
    with pytest.raises(AssertionError, match="made again"):
        tokens.tokens(colors["green"])


@pytest.mark.parametrize("kind", ["image", "video"])
@pytest.mark.parametrize("path", ["none.mp4", "a\0b", "."])
def test_a_missing_file_is_named(tmp_path, kind, path):
    with pytest.raises(VideoError, match="cannot be read .*check the path"):
        TokenCache(tmp_path / "cache").tokens(Media(kind, path))


def test_a_corrupt_clip_is_named_and_leaves_nothing(tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(BEACH.read_bytes()[:4000])
    with pytest.raises(VideoError, match="clip.mp4"):
        TokenCache(tmp_path / "cache").tokens(Media("video", str(clip), CODEC))
    assert not (tmp_path / "cache").exists()


def test_a_corrupt_image_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(TrainingError, match="a.png: cannot be read as an image"):
        TokenCache(tmp_path / "cache").tokens(Media("image", str(tmp_path / "a.png")))


@pytest.mark.parametrize("options", [{"frames": 8}, {"video_backend": "audio"}, {"num_frames": 0}, {"max_pixels": "many"}])
def test_options_that_make_no_sense_are_shown(tmp_path, options):
    with pytest.raises(TrainingError, match="its options .* do not fit together"):
        TokenCache(tmp_path).tokens(Media("video", str(BEACH), options))


def test_options_that_contradict_each_other_are_told(tmp_path):
    options = {"video_backend": "frames", "num_canvases": 3, "fps": 1.0}
    with pytest.raises(TrainingError, match="num_canvases does nothing"):
        TokenCache(tmp_path).tokens(Media("video", str(BEACH), options))


def test_a_cache_that_cannot_be_written_is_no_fault_of_the_sample(tmp_path, picture):
    (tmp_path / "cache").touch()
    with pytest.raises(Ov2Error, match="cannot write to") as caught:
        TokenCache(tmp_path / "cache").tokens(picture())
    assert not isinstance(caught.value, TrainingError | VideoError)

import math

import numpy as np
import pytest

import ov2lib
from kit.studies import selection
from kit.studies.coverage import is_whole
from kit.world import jump_rope
from ov2lib.codec.config import PaperConfig, front_end_config
from ov2lib.errors import VideoError
from ov2lib.tokens import MERGE

CONFIG = PaperConfig(num_canvases=8)


@pytest.fixture(scope="module")
def clip():
    return jump_rope(duration=4, seed=0, size=(180, 320), fps=15)


def packed_blocks(tokens):
    places = tokens.patch_positions.reshape(len(tokens.canvases), *tokens.grid, 3)[~is_whole(tokens), ::MERGE, ::MERGE]
    places = places.reshape(-1, 3) // [1, MERGE, MERGE]
    return sorted(map(tuple, places[places[:, 0] >= 0].tolist()))


@pytest.mark.parametrize("changed", [{}, {"attenuation": 1.0, "peak": 2.0}, {"front_end": "ippp"}])
def test_it_selects_what_the_front_end_selects(clip, changed):
    config = front_end_config(**{"front_end": "paper", "num_canvases": 8, "max_pixels": 153_664, "patch_size": 14} | changed)
    mine = selection.select(clip.path, config, selection.weighted(1, 1, 0))
    tokens = ov2lib.tokenize_video(clip.path, num_canvases=8, workers=1, **changed)
    assert sorted(map(tuple, mine.tolist())) == packed_blocks(tokens)


def test_bits_are_added_as_the_front_end_adds_them(clip):
    mine = selection.select(clip.path, CONFIG, selection.weighted(1, 1, 0.5))
    assert sorted(map(tuple, mine.tolist())) == packed_blocks(
        ov2lib.tokenize_video(clip.path, num_canvases=8, workers=1, beta=0.5)
    )


def test_each_variant_is_compared_with_the_published_one(clip):
    rows = {row.variant: row for row in selection.compare(clip.path, CONFIG, clip.event_times)}
    assert list(rows) == list(selection.variants(CONFIG))
    assert rows[selection.DEFAULT].shared == 1.0
    assert all(0 <= row.shared <= 1 and 0 <= row.events_seen <= 1 for row in rows.values())
    assert min(rows["motion only"].shared, rows["residual only"].shared, rows["bits only"].shared) < 1
    blocks = selection.select(clip.path, CONFIG, selection.weighted(1, 1, 0))
    assert rows[selection.DEFAULT].frames == len(np.unique(blocks[:, 0]))


def test_without_events_none_are_seen(clip):
    assert all(math.isnan(row.events_seen) for row in selection.compare(clip.path, CONFIG))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(VideoError, match="missing"):
        selection.compare(tmp_path / "missing.mp4", CONFIG)

"""Pictures of a process: what they say is computed from what they are given."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from kit.plots.life import busiest_block
from kit.plots.packed import packed_figure
from kit.plots.stages import stages_figure
from ov2lib.tokens import VisualTokens
from ov2lib.train.stages import STAGES, stage_config


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_samples_of_a_packed_row_are_counted_and_the_rest_is_padding():
    _, rows = packed_figure(np.array([0, 1, 2, 0, 1, 0]), samples=2)
    assert [row["sample"] for row in rows] == [1, 1, 1, 2, 2, "padding"]


def test_a_token_sees_its_own_sample_up_to_itself():
    figure, _ = packed_figure(np.array([0, 1, 2, 0, 1]), samples=2)
    mask = np.asarray(figure.axes[0].images[0].get_array())
    seen = (mask != 244).any(axis=-1)
    assert seen.astype(int).tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 1],
    ]


def test_the_busiest_block_has_the_contrast():
    canvases = np.full((2, 56, 84, 3), 128, np.uint8)
    canvases[1, 28:56, 56:84][::2] = 255
    tokens = VisualTokens(canvases, np.zeros((48, 3), np.int64), np.zeros(2, np.int64), 25.0, np.zeros(1))
    assert busiest_block(tokens, 1) == (1, 2)


def test_stages_count_a_corpus_where_it_first_appears():
    _, rows = stages_figure([stage_config(stage) for stage in STAGES])
    assert [row["new samples"] for row in rows] == ["89.2 M", "49.4 M", "1.95 M+", "4 M"]
    assert [row["frames, at most"] for row in rows] == [30, 90, 384, 768]

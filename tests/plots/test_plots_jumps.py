"""The pictures of notebook 11 draw what was matched."""

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot")

from matplotlib.colors import to_hex  # noqa: E402

from kit.plots import jumps  # noqa: E402
from kit.plots.timeline import EVENT  # noqa: E402


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def test_matching_joins_each_answer_with_the_start_it_takes(ax):
    rows = jumps.draw_matching(ax, [3.0, 1.05, 1.1], [1.0, 2.0, 3.2], 0.2)
    assert rows == [
        {"tolerance": 0.2, "prediction": 1.05, "truth": 1.0},
        {"tolerance": 0.2, "prediction": 1.1, "truth": None},
        {"tolerance": 0.2, "prediction": 3.0, "truth": None},  # 3.2 − 3.0 is a little more than 0.2
    ]
    assert [tuple(line.get_xdata()) for line in ax.lines] == [(1.05, 1.0)]


def test_answers_that_take_none_look_otherwise(ax):
    jumps.draw_answers(ax, [1.0, 2.0], {"a": [2.05, 0.95], "b": [5.0], "c": []}, 0.1, end=6.0)
    drawn = {tuple(points.get_offsets()[0]): to_hex(points.get_facecolor()[0]).upper() for points in ax.collections}
    assert drawn == {(0.95, 0): EVENT, (2.05, 0): EVENT, (5.0, 1): jumps.WRONG}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]


def test_strip_frames_the_picture_nearest_the_start():
    pictures = {0.9: np.zeros((4, 8, 3), np.uint8), 1.02: np.full((4, 8, 3), 9, np.uint8)}
    figure = jumps.strip_figure(pictures, 1.0)
    assert [ax.get_title() for ax in figure.axes] == ["−0.10 s", "start"]
    assert [ax.spines["top"].get_visible() for ax in figure.axes] == [False, True]
    assert [ax.images[0].get_array().shape for ax in figure.axes] == [(4, 4, 3)] * 2
    plt.close(figure)


def test_tags_without_any_leave_the_axes_empty(ax):
    jumps.draw_tags(ax, [], [], [1.0])
    assert ax.get_ylabel() and len(ax.patches) == 0

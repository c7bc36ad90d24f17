"""Values as tables in a notebook: what they hold is in them, text stays text, and `repr` stays plain."""

from html.parser import HTMLParser

import numpy as np
import pytest

from ov2lib.codec.config import FRONT_ENDS, PaperConfig
from ov2lib.codec.gop import partition
from ov2lib.codec.sampled import FramesConfig
from ov2lib.display import html_table
from ov2lib.evaluate.intervals import Interval
from ov2lib.evaluate.jumpscore import Score
from ov2lib.evaluate.run import Evaluation, TaskScores
from ov2lib.tokens import VisualTokens

HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</td></table><b>", "&lt;b&gt; & 'c'", "$x$ <!-- "]


class Reader(HTMLParser):
    """A page's cells as a person reads them, the caption first, and the tags it is made of."""

    def __init__(self, page: str):
        super().__init__()
        self.cells, self.tags = [], set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert attrs == ([("class", "mathjax_ignore")] if tag == "table" else []), "no formulas, no styles and no scripts"
        if tag in ("caption", "td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if data.strip():
            self.cells[-1] += data


def shown(value) -> Reader:
    page = Reader(value._repr_html_())
    assert page.tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert "<table" not in repr(value)
    return page


def tokens(source: str = "a.mp4") -> VisualTokens:
    canvases, positions = np.zeros((2, 28, 28, 3), np.uint8), np.zeros((8, 3), np.int64)
    return VisualTokens(canvases, positions, np.array([0, 1]), 25.0, np.arange(50) / 25, source=source)


@pytest.mark.parametrize("text", HOSTILE)
def test_markup_is_shown_as_text(text):
    assert Reader(html_table(text, [(text, 1)], (text, "n"))).cells == [text, text, "n", text, "1"]
    assert text in shown(tokens(text)).cells
    scores = {text: TaskScores(1, {text: Interval(0.5, None, None)})}
    assert shown(Evaluation(scores, {text: text}, {})).cells.count(text) == 4


def test_numbers_are_short_and_arrays_are_named_by_shape():
    assert Reader(html_table("t", [(1 / 3, None, np.zeros((2, 4), np.uint8))])).cells == [
        "t",
        "0.333333",
        "None",
        "uint8 [2, 4]",
    ]


def test_tokens_show_their_summary():
    cells = shown(tokens()).cells
    assert cells[1::2] == list(tokens().summary())
    assert dict(zip(cells[1::2], cells[2::2], strict=True))["canvas_size"] == "28x28"


def test_a_partition_shows_its_groups():
    groups = partition(np.array([1.0, 1, 9, 1, 1, 1, 9, 1]), 4.0, 2, 0.5, 1.0, 3.0)
    cells = shown(groups).cells
    assert len(cells) == 1 + 5 * (1 + len(groups))
    assert cells[6::5] == [f"{edge:.6g}" for edge in groups.edges[:-1]]
    assert cells[10::5] == [cut.why for cut in groups.cuts]


@pytest.mark.parametrize("kind", [*FRONT_ENDS.values(), FramesConfig], ids=lambda kind: kind.__name__)
def test_a_configuration_shows_its_options(kind):
    cells = shown(kind(max_pixels=1234)).cells
    assert cells[0] == kind.__name__
    assert cells[cells.index("max_pixels") + 1] == "1234"


def test_scores_show_metrics_with_intervals_and_failures():
    metrics = {"mAP": Interval(0.5, 0.25, 0.75), "AP@0.1": Interval(0.25, None, None)}
    page = shown(Evaluation({"jumps": TaskScores(7, metrics, 2)}, {"clip-3": "no such file"}, {}))
    assert ["jumps", "mAP", "0.50 (0.25 to 0.75)", "7", "2"] == page.cells[6:11]
    assert page.cells[-2:] == ["clip-3", "no such file"]
    assert "Not answered or scored" not in shown(Evaluation({}, {}, {})).cells
    assert shown(Score(0.5, {0.1: 0.5})).cells == ["Score", "map", "0.5", "ap", "{0.1: 0.5}"]


def test_what_is_shown_is_no_option():
    assert "_repr_html_" not in PaperConfig().to_dict()

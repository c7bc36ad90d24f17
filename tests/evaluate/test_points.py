"""CrossPoint's points: each published form, their order, and hostile text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.evaluate.points import parse_point


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ('{"point_2d": [120, 340]}', (120, 340)),
        ('```json\n[{"point": [0.5, 0.25], "label": "cup"}]\n```', (0.5, 0.25)),
        ('{"coordinates": [1, 2], "coordinate": [3, 4]}', (3, 4)),  # the last in one pair of braces
        ('{"a": 1} {"point": [1, 2]} {"point": [3, 4]}', (1, 2)),  # of the first pair of braces that has one
        ('{"x": 7, "y": 8}', (7, 8)),
        ('{"y": 8, "x": 7}', (7, 8)),
        ('{"x": 1, "y": 2, "x": 3}', (1, 2)),
        ('{"x": 1} and {"y": 2}', (1, 2)),  # not one pair of braces: the quoted words in the text
        ('<point x="10.5" y="20" alt="cup">cup</point>', (10.5, 20)),
        ("its position in the view is 12, 34.5", (12, 34.5)),
        ("X: 3 and then Y: 4", (3, 4)),
        ("y: 4, x: 3", (3, 4)),
        ("'x': 3, 'y': 4", (3, 4)),
        ("at (1, 2) or [3, 4]", (3, 4)),
        ("at (1, 2) or 0, 0", (1, 2)),
        ("17,18", (17, 18)),
        ("(-5, 6)", (5, 6)),  # quirk: the minus sign is lost
        ("1.2.3, 4", None),
        ("., .", None),
        ("nowhere", None),
        ("", None),
    ],
)
def test_forms_and_their_order(text, point):
    assert parse_point(text) == point


@given(st.text(alphabet='{}[]()<>"xyXY:,.0123456789- point_2dposition is', max_size=120))
def test_any_text_gives_a_point_or_none(text):
    point = parse_point(text)
    assert point is None or len(point) == 2 and min(point) >= 0


def test_hostile_text_costs_linear_time(assert_linear):
    fragments = [
        "{",
        "}",
        '{"point": [1,',
        '"x": 1',
        '{"x": 1 ',
        "x: 1 ",
        "y: 1 ",
        "position ",
        "is 1,",
        "1",
        "1,",
        "<point ",
        "[1, ",
    ]
    assert_linear(parse_point, fragments)

"""A check that a parser's cost grows linearly with hostile input on any machine."""

import time

import pytest

SMALL, LARGE = 2**13, 2**16  # eight times: linear cost grows 8-fold, quadratic 64-fold
HOSTILE = [
    "[",
    "]",
    "[[1]",
    "```json[",
    "1",
    "1.",
    "1 ",
    "1s ",
    "[1,",
    "1:23:",
    "1-",
    "1 to ",
    " ",
    "(",
    "A) ",
    "**A",
    "é",
    "\t1",
]


def _seconds(function, text: str) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        function(text)
        best = min(best, time.process_time() - start)
    return best


@pytest.fixture
def assert_linear():
    """Call with a function of one text; it is fed megabyte-like repetitions of awkward fragments."""

    def check(function, fragments=HOSTILE):
        for fragment in fragments:
            small = _seconds(function, (fragment * SMALL)[:SMALL] + "x")
            large = _seconds(function, (fragment * LARGE)[:LARGE] + "x")
            assert large < 30 * small + 0.05, f"{fragment!r}: {small:.4f} s for {SMALL}, {large:.4f} s for {LARGE} characters"

    return check

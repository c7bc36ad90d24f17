"""Generators run side by side; what they yield comes in order, errors in their turn, and no thread stays behind."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ov2lib.video.parallel import in_order


def threads() -> set:
    return set(threading.enumerate())


@given(lengths=st.lists(st.integers(0, 12), max_size=12), workers=st.integers(1, 4), ahead=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_items_come_job_after_job(lengths, workers, ahead):
    before = threads()
    found = list(in_order(list(enumerate(lengths)), lambda job: ((job[0], i) for i in range(job[1])), workers, ahead))
    assert found == [(number, i) for number, length in enumerate(lengths) for i in range(length)]
    assert threads() == before


def test_jobs_run_side_by_side():
    """Two jobs that wait for each other only end if both run."""
    meet = threading.Barrier(2, timeout=10)

    def work(job):
        meet.wait()
        yield job

    assert list(in_order([1, 2], work, workers=2, ahead=1)) == [1, 2]


def test_one_worker_needs_no_thread():
    here = threading.get_ident()
    assert set(in_order([1, 2], lambda job: iter([threading.get_ident()]), workers=1, ahead=1)) == {here}


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_an_error_is_raised_when_its_turn_comes(workers):
    before, seen = threads(), []

    def work(job):
        yield job
        if job >= 2:
            raise ValueError(f"job {job}")
        yield -job

    with pytest.raises(ValueError, match="job 2"):
        for item in in_order(range(5), work, workers, ahead=2):
            seen.append(item)
    assert seen == [0, 0, 1, -1, 2] and threads() == before


@pytest.mark.parametrize("workers", [1, 2])
def test_leaving_early_closes_what_runs(workers):
    """The generators are closed, so that files are too, and their threads are gone."""
    before, open_jobs, lock = threads(), set(), threading.Lock()

    def work(job):
        with lock:
            open_jobs.add(job)
        try:
            while True:  # would never end
                yield job
        finally:
            with lock:
                open_jobs.discard(job)

    items = in_order(range(6), work, workers, ahead=2)
    assert [next(items) for _ in range(3)] == [0, 0, 0]
    items.close()
    assert threads() == before and not open_jobs


def test_what_waits_to_be_read_is_bounded():
    made, lock = [], threading.Lock()

    def work(job):
        for i in range(100):
            with lock:
                made.append((job, i))
            yield job, i

    workers, ahead = 2, 3
    items = in_order(range(10), work, workers, ahead)
    for taken in range(1, 150):
        next(items)
        with lock:
            held = len(made) - taken
        assert held <= (workers + 1) * (ahead + 1) + 1
    items.close()


def test_no_jobs_give_nothing():
    assert list(in_order([], lambda job: iter([1]), workers=4, ahead=1)) == []

"""Run generators on a few threads at once and hand out what they yield in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from threading import Event
from typing import TypeVar

Job = TypeVar("Job")
Item = TypeVar("Item")
_DONE = object()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(jobs: Sequence[Job], work: Callable[[Job], Iterable[Item]], workers: int, ahead: int) -> Generator[Item]:
    """Yield every item of `work(job)`, job after job, while up to `workers` jobs run at once.

    At most `workers + 1` jobs are under way or waiting to be read, each with at most `ahead` unread items, so memory is
    bounded. FFmpeg and numpy release the interpreter lock, so threads do run side by side. The first error of a job is
    raised when its turn comes; leaving early stops the threads.
    """
    if workers <= 1:
        for job in jobs:
            yield from work(job)
        return

    # 1. What a thread does: run one job to its end, or until the reader leaves
    leave = Event()

    def run(job: Job, results: Queue) -> None:
        try:
            for item in work(job):
                _put(results, item, leave)
                if leave.is_set():
                    return
        finally:
            _put(results, _DONE, leave)

    # 2. Read the jobs' results in order; each job that has been read makes room for one more
    under_way: deque[tuple[Future, Queue]] = deque()
    with ThreadPoolExecutor(min(workers, len(jobs) or 1)) as pool:
        try:
            for number in range(len(jobs)):
                for job in jobs[number + len(under_way) : number + workers + 1]:
                    results: Queue = Queue(maxsize=ahead)
                    under_way.append((pool.submit(run, job, results), results))
                future, results = under_way.popleft()
                while (item := results.get()) is not _DONE:
                    yield item
                future.result()  # raises the job's error, if it had one
        finally:
            leave.set()
            pool.shutdown(cancel_futures=True)


def _put(results: Queue, item: object, leave: Event) -> None:
    """Wait for room in the queue, but not longer than somebody reads it."""
    while not leave.is_set():
        try:
            return results.put(item, timeout=0.1)
        except Full:
            continue

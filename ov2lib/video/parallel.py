"""Run generators on a few threads at once and hand out what they yield in order."""

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
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
    results = [queue.Queue(maxsize=ahead) for _ in jobs]
    slots, numbers, leave = threading.Semaphore(workers + 1), iter(range(len(jobs))), threading.Event()
    lock = threading.Lock()

    def put(number: int, item) -> None:
        while not leave.is_set():
            try:
                return results[number].put(item, timeout=0.1)
            except queue.Full:
                continue

    def run() -> None:
        while True:
            slots.acquire()
            with lock:
                number = next(numbers, None)
            if number is None or leave.is_set():
                return
            try:
                for item in work(jobs[number]):
                    put(number, (item, None))
                    if leave.is_set():
                        return
            except BaseException as error:  # handed over, and raised where the items are read
                put(number, (None, error))
            put(number, _DONE)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(workers, len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        for result in results:
            while (got := result.get()) is not _DONE:
                item, error = got
                if error is not None:
                    raise error
                yield item
            slots.release()
    finally:
        leave.set()
        for _ in threads:
            slots.release()
        for thread in threads:
            thread.join()

"""Damaged files are read or refused in one line, and the fuzzer that says so sees every kind of failure."""

import os
import signal
import struct
import warnings
import zlib
from random import Random

import fuzz
import numpy as np
import pytest
from mutate import PNG, header_fields, mutate, with_checksums
from zoo.pairs import IMAGES, VIDEOS

from ov2lib import Ov2Error
from ov2lib.video.parallel import usable_cores

SEED = 1


def test_damaged_videos_are_read_or_refused():
    check([fuzz.Case(SEED, index) for index in range(240)])


def test_a_file_in_which_another_stream_begins_later_is_read():
    """Found by 10,000 files of seed 1: seven bytes dropped from an SWF file make a tag of another stream."""
    (result,) = fuzz.fuzz([fuzz.Case(1, 9868)], 1)
    assert result.worst.outcome == "read", fuzz.report([result])


def test_start_codes_side_by_side_are_read():
    """Found by 6,000 files of seed 2: an MPEG-1 file in which nothing stands behind a start code."""
    (result,) = fuzz.fuzz([fuzz.Case(2, 128)], 1)
    assert result.worst.outcome == "read", fuzz.report([result])


def test_damaged_images_are_read_or_refused():
    check([fuzz.Case(SEED, index, still=True) for index in range(60)])


def check(cases):
    results = fuzz.fuzz(cases, usable_cores())
    assert not [result for result in results if result.worst.outcome in fuzz.FAILURES], fuzz.report(results)
    assert {result.worst.outcome for result in results} == {"read", "refused"} and len(results) == len(cases)


# --- the fuzzer itself ----------------------------------------------------------------------------------------------


def test_a_case_is_made_again_by_its_seed_and_index(tmp_path):
    case = fuzz.Case(3, 8)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (case.damage(case.make(tmp_path / name), tmp_path / name)[0].read_bytes() for name in "ab")
    other = fuzz.Case(4, 8)
    assert first == second != other.damage(other.make(tmp_path), tmp_path)[0].read_bytes()


@pytest.mark.parametrize("reader, outcome", [
    (lambda: None, "read"),
    (lambda: (_ for _ in ()).throw(Ov2Error("x.mp4: broken; repair it")), "refused"),
    (lambda: (_ for _ in ()).throw(Ov2Error("two\nlines")), "wrong error"),
    (lambda: {}["x"], "wrong error"),
    (lambda: np.zeros(1) / np.zeros(1), "wrong error"),
    (lambda: bytes(1 << 60), "memory"),
])  # fmt: skip
def test_outcomes_of_a_reader(reader, outcome):
    with warnings.catch_warnings(), np.errstate():
        fuzz.strict()
        assert fuzz.attempt(reader)[0] == outcome


def dies(pipe):
    pipe.send("loaded")
    pipe.recv()
    pipe.send("a reader")
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(pipe):
    pipe.send("loaded")
    pipe.recv()
    pipe.send("a reader")
    signal.pause()


def hoards(pipe):
    pipe.send("loaded")
    pipe.recv()
    pipe.send("a reader")
    pipe.send(("read", ""))
    pipe.send(fuzz.MEMORY + 1)
    signal.pause()


@pytest.mark.parametrize("serve, outcome", [(dies, "crash"), (hangs, "hang"), (hoards, "memory")])
def test_a_child_that_fails_is_replaced(serve, outcome, tmp_path):
    child = fuzz.Child(serve, seconds=0.2)
    for index in range(2):
        result = child.read(fuzz.Case(1, index), tmp_path)
        assert result.worst.outcome == outcome and child.process is None
    assert f"2 x {outcome}" in fuzz.report([result, result])


def test_the_memory_of_a_process_is_measured():
    held = np.ones(100 << 17)  # 100 MiB of 8-byte numbers
    assert fuzz.peak_memory() >= held.nbytes >> 20


@pytest.mark.parametrize("name", [*VIDEOS, *IMAGES])
def test_damage_never_fails_and_changes_something(name, tmp_path):
    data, rng = (VIDEOS | IMAGES)[name](tmp_path).read_bytes(), Random(name)
    mutants = [mutate(data, rng)[0] for _ in range(30)]
    assert sum(mutant != data for mutant in mutants) > 20
    for mutant in mutants:
        mutate(mutant, rng)


@pytest.mark.parametrize("pair, marker, distance, width", [
    ("mp4 h264", b"mdhd", 16, 4),  # time scale, behind version, flags and two times
    ("mp4 h264", b"stsz", 12, 4),  # number of samples, behind version, flags and their size
    ("mkv h264", b"\x2a\xd7\xb1", 4, 3),  # time scale, behind its size
    ("avi mpeg4", b"avih", 40, 4),  # width, behind the chunk's size and eight numbers
])  # fmt: skip
def test_header_fields_are_known(pair, marker, distance, width, tmp_path):
    data = VIDEOS[pair](tmp_path).read_bytes()
    assert (data.index(marker) + distance, width) in {(field.start, field.width) for field in header_fields(data)}


def test_checksums_of_a_png_are_mended(tmp_path):
    data = bytearray(IMAGES["png"](tmp_path).read_bytes())
    healthy = bytes(data)
    struct.pack_into(">I", data, len(PNG) + 8, 7)  # the width
    mended = with_checksums(bytes(data))
    assert with_checksums(healthy) == healthy
    assert struct.unpack_from(">I", mended, len(PNG) + 21)[0] == zlib.crc32(mended[len(PNG) + 4 : len(PNG) + 21])

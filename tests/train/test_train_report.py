"""The report beside a run: counts, reasons, the limit; and files that appear whole or not at all."""

import json
import os

import pytest

from ov2lib.errors import Ov2Error, TrainingError, VideoError
from ov2lib.files import whole_file
from ov2lib.samples.report import Report


def test_reasons_leave_out_what_concerns_one_sample_alone():
    report = Report()
    fill(report, 3, bad=())
    report.skip("a", TrainingError("a: no answer"))
    report.skip("b", VideoError("clips/1.mp4", "no such file", "check the path"))
    report.skip("c", VideoError("clips/2.mp4", "no such file", "check the path"))
    assert json.loads(json.dumps(report.to_json())) == {
        "rows": 3,
        "skipped": 3,
        "max_bad_share": 0.01,
        "judged_after": 100,
        "reasons": [
            {"reason": "no such file", "count": 2, "ids": ["b", "c"]},
            {"reason": "no answer", "count": 1, "ids": ["a"]},
        ],
    }


def fill(report, rows, bad):
    for number in range(rows):
        report.see()
        if number in bad:
            report.skip(f"row {number}", TrainingError(f"row {number}: broken"))


def test_too_many_bad_rows_are_an_error():
    with pytest.raises(TrainingError, match=r"2 of 101 samples cannot be used, more than 1.0%; 2, such as row 0: broken"):
        fill(Report(), 1000, {0, 100, 200})


def test_a_share_at_the_limit_is_allowed():
    usual, lenient = Report(), Report(max_bad_share=0.5)
    fill(usual, 1000, range(100, 1000, 100))
    fill(lenient, 1000, range(1, 1000, 2))
    assert (usual.skipped, lenient.skipped) == (9, 500)


def test_few_rows_are_not_judged_but_their_errors_are_remembered():
    report = Report()
    fill(report, 99, range(99))
    with pytest.raises(TrainingError, match="99 of 100 samples"):
        report.see()


def test_a_file_is_written_with_its_folder(tmp_path):
    with whole_file(tmp_path / "run" / "facts") as file:
        file.write(b"all")
    assert (tmp_path / "run" / "facts").read_bytes() == b"all" and os.listdir(tmp_path / "run") == ["facts"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["report.json"]


def test_a_full_disk_is_no_fault_of_the_sample(tmp_path):
    with pytest.raises(Ov2Error, match="No space left on device; free some space") as caught, whole_file(tmp_path / "x"):
        raise OSError(28, os.strerror(28))
    assert not isinstance(caught.value, TrainingError) and os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Ov2Error, match="cannot write to .*file"), whole_file(tmp_path / "file" / "x"):
        pass


def test_at_the_end_few_rows_are_judged_too():
    report = Report()
    fill(report, 50, {7})
    with pytest.raises(TrainingError, match=r"1 of 50 samples cannot be used, more than 1.0%; .*\(--max-bad-share\)"):
        report.end()
    for report, rows in ((Report(max_bad_share=0.02), 50), (Report(), 0)):
        fill(report, rows, {7})
        report.end()

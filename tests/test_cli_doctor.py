"""`ov2 doctor`: what each codec gives is found out, and what is missing is said."""

import numpy as np
import pytest

from ov2lib import Ov2Error, cli
from ov2lib.cli import doctor


@pytest.mark.parametrize("codec", doctor.CODECS)
def test_each_codec_gives_what_the_library_documents(codec, tmp_path):
    trial = doctor.try_codec(codec, tmp_path)
    assert trial.error == ""
    assert trial.kinds == ("IPB" if codec in ("h264", "hevc", "mpeg4") else "IP")
    signals = (trial.motion, trial.qp, trial.residual, trial.bits)
    assert signals == (("exported",) * 4 if codec in ("h264", "mpeg4") else ("proxy", "none", "proxy", "proxy"))


def test_the_tiny_clip_moves_right():
    first, second, *_ = doctor.moving_texture()
    assert first.shape == (*doctor.SIZE, 3)
    np.testing.assert_array_equal(second[:, doctor.STEP :], first[:, : -doctor.STEP])


def test_a_healthy_place_is_status_0(capsys):
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "libx264" in said and "libavcodec" in said and "cores usable" in said


def test_a_missing_package_or_encoder_is_said_and_no_failure(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "OPTIONAL", ("no-such-package",))
    monkeypatch.setitem(doctor.CODECS, "hevc", doctor.CODECS["hevc"]._replace(name="libnone"))
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "no-such-package  not installed" in said
    assert next(line.split() for line in said if line.startswith("hevc")) == ["hevc", "hevc", "none", "not", "tried"]


def test_a_codec_that_fails_is_status_1(capsys, monkeypatch):
    def broken(*args):
        raise Ov2Error("cannot encode: full disk")

    monkeypatch.setattr(doctor, "encode", broken)
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().out.count("cannot encode: full disk") == len(doctor.CODECS)

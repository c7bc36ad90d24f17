"""`ov2 tokenize` and `ov2 inspect` on the zoo: what they print and write, and that bad input is one line and leaves nothing."""

import os
import subprocess
import sys

import numpy as np
import pytest
import zoo

import ov2lib
from ov2lib import cli
from ov2lib.cli import inspect, tokenize
from ov2lib.codec.gop import Partition


def spoken(capsys) -> dict[str, str]:
    """The printed lines `name   value` as a dict."""
    lines = capsys.readouterr().out.splitlines()
    return {line[:15].strip(): line[15:].strip() for line in lines}


@pytest.mark.parametrize("name", zoo.BAD)
@pytest.mark.parametrize("command", ["tokenize", "inspect"])
def test_bad_files_are_one_line_and_leave_nothing(command, name, specimen, tmp_path, capsys):
    known, out = specimen(name), tmp_path / "out"
    status = cli.main([command, str(known.path), *(["--out", str(out)] if command == "tokenize" else ["--png", str(out)])])
    said = capsys.readouterr()
    assert status in {"fails": {2}, "survives": {0, 2}, "reads": {0}}[known.expect]
    if status == 2:
        assert said.err.startswith(f"ov2: {known.path}: ") and said.err.count("\n") == 1 and said.err.endswith("\n")
        assert said.out == "" and list(tmp_path.iterdir()) == []
    else:
        assert said.err == "" or (said.err.startswith(f"ov2: warning: {known.path}: ") and said.err.count("\n") == 1)
        assert out.exists()


def test_tokenize_saves_what_the_library_gives(specimen, tmp_path, capsys):
    path, out = specimen("h264_b_frames").path, tmp_path / "out"
    argv = ["tokenize", str(path), "--out", str(out), "--front-end", "ippp", "--canvases", "3", "--max-pixels", "12000"]
    assert cli.main(argv) == 0
    saved, expected = ov2lib.VisualTokens.load(out), ov2lib.tokenize_video(path, "ippp", num_canvases=3, max_pixels=12_000)
    np.testing.assert_array_equal(saved.canvases, expected.canvases)
    np.testing.assert_array_equal(saved.patch_positions, expected.patch_positions)
    assert saved.config == expected.config and saved.config["front_end"] == "ippp"
    said = spoken(capsys)
    assert said["saved to"] == str(out) and said["front end"] == "ippp"
    assert said["canvases"] == str(len(expected.canvases)) and said["tokens"] == str(expected.num_tokens)


def test_tokenize_defaults_are_the_librarys(specimen, tmp_path):
    path = specimen("h264_b_frames").path
    assert cli.main(["tokenize", str(path), "--out", str(tmp_path / "out")]) == 0
    assert ov2lib.VisualTokens.load(tmp_path / "out").config == ov2lib.tokenize_video(path).config


def test_the_progress_bar_ends_full(specimen, tmp_path, monkeypatch):
    class Bar(tokenize.tqdm):
        def close(self):
            ends.append((self.n, self.total))
            super().close()

    ends = []
    monkeypatch.setattr(tokenize, "tqdm", lambda **options: Bar(**options | {"disable": False}))
    assert cli.main(["tokenize", str(specimen("h264_p_only").path), "--out", str(tmp_path / "out")]) == 0
    assert ends[0] == (12, 12)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--canvases", "0"], "must be at least 1"),
        (["--canvases", "3", "--front-end", "released"], "ask for 4 or more"),
        (["--max-pixels", "100"], "use at least 784"),
    ],
)
def test_numbers_that_make_no_sense_are_one_line(options, says, specimen, tmp_path, capsys):
    assert cli.main(["tokenize", str(specimen("h264_p_only").path), "--out", str(tmp_path / "out"), *options]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["taken", "taken/note.txt", "taken/note.txt/deeper", "x" * 300])
def test_a_folder_that_cannot_be_written_is_told_before_the_work(out, specimen, tmp_path, monkeypatch, capsys):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/note.txt").write_text("mine")
    monkeypatch.setattr(tokenize, "tokenize_video", lambda *args, **options: pytest.fail("worked before asking"))
    assert cli.main(["tokenize", str(specimen("h264_p_only").path), "--out", str(tmp_path / out)]) == 2
    assert "choose another folder" in capsys.readouterr().err
    assert (tmp_path / "taken/note.txt").read_text() == "mine"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to oneself")
def test_ctrl_c_in_the_middle_leaves_nothing(specimen, tmp_path):
    code = (
        "import os, signal, sys; from ov2lib import cli; from ov2lib.cli import tokenize\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # background jobs of a shell start with it ignored
        "class Bar(tokenize.tqdm):\n    def update(self, n): os.kill(os.getpid(), signal.SIGINT)\n"
        "tokenize.tqdm = Bar; sys.exit(cli.main(sys.argv[1:]))"
    )
    argv = ["tokenize", str(specimen("h264_b_frames").path), "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "ov2: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", zoo.GOOD)
def test_inspect_says_what_is_known(name, specimen, capsys):
    known = specimen(name)
    assert cli.main(["inspect", str(known.path)]) == 0
    said = spoken(capsys)
    height, width = known.shown
    assert said["file"] == str(known.path)[: len(said["file"])] and said["codec"].startswith(f"{known.codec}, ")
    assert said["size"].startswith(f"{width}x{height}") and ("turned" in said["size"]) == bool(known.rotation)
    assert ("stored" in said["size"]) == (known.shown != known.size or bool(known.turns) or known.mirrored)
    assert ("interlaced" in said) == ("interlaced" in name or "fields" in name) and ("dynamic range" in said) == (
        name == "hdr_pq"
    )
    assert f" for {known.frames} frames" in said["packets"]
    gaps = [b - a for a, b in zip(known.times, known.times[1:], strict=False)]
    assert ("constant" in said["frame rate"]) == (not gaps or max(gaps) - min(gaps) < 2e-3)
    exported = known.vectors and known.frames > 1 and name != "h264_all_intra"  # key frames carry no vectors
    assert said["signals"].startswith("motion exported; residual exported") == exported
    assert ("audio beside" in said["container"]) == name.startswith("audio")


def test_inspect_tells_kinds_and_groups_of_pictures(specimen, capsys):
    assert cli.main(["inspect", str(specimen("h264_open_gop").path)]) == 0
    said = spoken(capsys)
    shares = [part.split(",")[0] for part in said["frame kinds"].split("; ")]
    assert shares == ["3 I", "4 P", "11 B"]
    assert said["key frames"] == "3, GOPs of 4 to 8 packets; decoding can start at 3 of them"


def a_partition(cost, edges):
    cost = np.array(cost, float)
    return Partition(np.array(edges), np.zeros(len(edges) - 1), np.zeros(len(edges) - 1), (), cost, 1.0, 0.5)


def test_timeline_by_hand():
    assert inspect.timeline(a_partition([0, 4, 8], [0, 0.5, 1.5]), 9).splitlines() == [
        "bytes of P and B frames per 0.5 s, up to 8; ┬ a group begins, at second",
        "      ███",
        "      ███",
        "   ▄▄▄███",
        "   ██████",
        "   ██████",
        "┬──┬─────",
        "0  0.5",
    ]


def test_timeline_of_a_long_video_fits_and_keeps_its_shape():
    lines = inspect.timeline(a_partition(np.arange(10_000), [0, 2500, 2500.5, 5000]), 80).splitlines()
    assert max(map(len, lines[1:])) == 80
    heights = [sum(line[column : column + 1].strip() != "" for line in lines[1:-2]) for column in range(80)]
    assert heights == sorted(heights) and heights[0] == 1 and heights[-1] == inspect.ROWS
    assert lines[-2].index("┬", 1) == 40 and lines[-1].split() == ["0", "2500"]


def test_timeline_of_nothing_but_key_frames_is_flat():
    assert inspect.timeline(a_partition([0, 0], [0, 1.0]), 2).splitlines()[1:] == ["", "", "", "", "", "┬─", "0"]


def test_inspect_draws_the_same_picture_twice(specimen, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        assert cli.main(["inspect", str(specimen("vp9").path), "--png", str(tmp_path / name)]) == 0
        assert spoken(capsys)["timeline"].startswith(str(tmp_path)[:10])
    first = (tmp_path / "a.png").read_bytes()
    assert first.startswith(b"\x89PNG") and first == (tmp_path / "b.png").read_bytes()


def test_a_picture_that_cannot_be_written_is_one_line(specimen, tmp_path, capsys):
    assert cli.main(["inspect", str(specimen("vp9").path), "--png", str(tmp_path / "no/such/a.png")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "choose another place" in said.err


def test_a_terminal_without_the_letters_gets_others(specimen):
    argv = [sys.executable, "-m", "ov2lib", "inspect", str(specimen("h264_p_only").path)]
    done = subprocess.run(argv, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}, timeout=60)
    assert done.returncode == 0 and done.stderr == b"" and b"????" in done.stdout

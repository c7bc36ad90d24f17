"""Nothing lost: what is written appears whole, and what stood there goes only when it was ours and the new one stands."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ov2lib.errors import Ov2Error, TokensError
from ov2lib.files import check_folder, current, whole_file, whole_folder


def ours(folder: Path) -> str | None:
    return next((repr(path.name) for path in folder.iterdir() if path.name not in ("a", "b")), None)


def write(folder: Path, text: str) -> None:
    with whole_folder(folder, TokensError, ours) as scratch:
        for name in ("a", "b"):
            (scratch / name).write_text(text)


def content(folder: Path) -> list[str]:
    return [(current(folder) / name).read_text() for name in ("a", "b")]


@pytest.fixture
def folder(tmp_path) -> Path:
    write(tmp_path / "made", "old")
    return tmp_path / "made"


@pytest.mark.parametrize("name", ["rename", "fsync", "mkdir", "listdir"])
def test_whichever_call_fails_the_old_or_the_new_folder_stands_alone(name, folder, monkeypatch):
    real, outcomes = getattr(os, name), []
    for fatal in range(12):
        calls = iter(range(100))

        def failing(*args, calls=calls, fatal=fatal, **kwargs):
            if next(calls) == fatal:
                raise OSError(5, "Input/output error")
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            try:
                write(folder, f"new{fatal}")
                outcomes.append("written")
            except TokensError as error:
                assert "Input/output error; " in str(error)
                outcomes.append("failed")
        assert content(folder) == ["old" if outcomes[-1] == "failed" else f"new{fatal}"] * 2
        write(folder, "old")
        assert os.listdir(folder.parent) == ["made"]
    assert outcomes[-1] == "written" and "failed" in outcomes


KILLED_AT_EVERY_STEP = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_files import content, write

folder, events, seen = Path(sys.argv[1]), 0, set()

def hook(name, args):
    global events
    if armed and name.startswith(("os.", "open", "shutil.")):
        events += 1
        if events == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

armed = False
sys.addaudithook(hook)
for fatal in range(1, 1000):
    write(folder, "old")
    assert os.listdir(folder.parent) == [folder.name], os.listdir(folder.parent)
    child = os.fork()
    if not child:
        armed = True
        write(folder, "new")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert content(folder) in (["old"] * 2, ["new"] * 2), fatal
    seen.add((os.WTERMSIG(status), folder.exists(), *content(folder)))
    if not status:
        break
print(fatal, (9, False, "old", "old") in seen, (9, True, "new", "new") in seen)
"""


def test_a_kill_at_any_step_leaves_the_old_or_the_new_folder(tmp_path):
    script = [sys.executable, "-c", KILLED_AT_EVERY_STEP, str(tmp_path / "made"), str(Path(__file__).parent)]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    steps, stepped_aside, replaced = done.stdout.split()
    assert int(steps) > 20 and (stepped_aside, replaced) == ("True", "True")


def test_scratch_of_a_live_writer_stays_and_of_a_dead_one_goes(folder):
    dead = folder.with_name(".made.ov2-new-0123456789ab")
    dead.mkdir()
    with whole_folder(folder, TokensError, ours) as scratch:
        assert not dead.exists()
        write(folder, "meanwhile")
        assert scratch.is_dir()
        for name in ("a", "b"):
            (scratch / name).write_text("last")
    assert content(folder) == ["last", "last"] and os.listdir(folder.parent) == ["made"]


def test_what_is_put_into_the_folder_meanwhile_is_not_lost(folder):
    with pytest.raises(TokensError, match="'letter.txt', which would be lost"), whole_folder(folder, TokensError, ours):
        (folder / "letter.txt").write_text("dear")
    assert (folder / "letter.txt").read_text() == "dear" and content(folder) == ["old", "old"]
    assert os.listdir(folder.parent) == ["made"]


@pytest.mark.parametrize("place", [".", "../made", "..", "../../x/made"])
def test_the_folder_one_stands_in_is_not_replaced(place, tmp_path, monkeypatch):
    folder = tmp_path / "x" / "made"
    write(folder, "old")
    monkeypatch.chdir(folder)
    with pytest.raises(TokensError, match="the folder you are in|would be lost"):
        write(Path(place), "new")
    assert content(folder) == ["old", "old"] and os.listdir(folder.parent) == ["made"]


def test_paths_are_relative_to_the_folder_one_stands_in(folder, monkeypatch):
    (folder.parent / "other").mkdir()
    monkeypatch.chdir(folder.parent / "other")
    write(Path("../made"), "new")
    write(Path("inner"), "inner")
    assert content(folder) == ["new", "new"] and content(folder.parent / "other" / "inner") == ["inner", "inner"]


def test_a_link_to_a_folder_is_followed(folder):
    link = folder.with_name("link")
    link.symlink_to(folder)
    write(link, "new")
    assert link.is_symlink() and content(folder) == ["new", "new"]


def test_a_mount_point_is_not_replaced(folder, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == folder)
    with pytest.raises(TokensError, match="is a mount point .* choose one inside it"):
        write(folder, "new")
    assert content(folder) == ["old", "old"]


def test_a_parent_that_cannot_be_written_is_told_before_the_work(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder.parent)
    with pytest.raises(TokensError, match="is no folder you may write to"):
        check_folder(folder, TokensError, ours)


def test_without_a_judge_only_a_new_or_empty_folder_will_do(folder, tmp_path):
    with pytest.raises(TokensError, match="holds '[ab]', which would be lost"), whole_folder(folder, TokensError):
        pass
    (tmp_path / "empty").mkdir()
    with whole_folder(tmp_path / "empty", TokensError) as scratch:
        (scratch / "a").touch()
    assert os.listdir(tmp_path / "empty") == ["a"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_umask_is_respected(mask, tmp_path):
    before = os.umask(mask)
    try:
        write(tmp_path / "made", "new")
        with whole_file(tmp_path / "file") as file:
            file.write(b"new")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("made", "made/a", "file")]
    assert modes == [0o777 & ~mask, 0o666 & ~mask, 0o666 & ~mask]


@pytest.mark.parametrize("name", ["replace", "fsync"])
def test_a_file_that_cannot_be_written_keeps_the_old_one(name, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, name, full)
    with pytest.raises(Ov2Error, match="No space left"), whole_file(tmp_path / "file") as file:
        file.write(b"new")
    assert (tmp_path / "file").read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_names_as_long_as_the_system_allows(tmp_path):
    with whole_file(tmp_path / ("n" * 251 + ".txt")) as file:
        file.write(b"new")
    assert len(os.listdir(tmp_path)) == 1

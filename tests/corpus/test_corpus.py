"""`ov2 corpus`: the same shards whatever happens on the way, failures with their reasons, and readers that trust nothing."""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile

import numpy as np
import pandas
import pytest

from ov2lib import tokenize_video
from ov2lib.errors import TokensError, TrainingError
from ov2lib.samples import shards
from ov2lib.samples.readers import read_source
from ov2lib.samples.report import Report

SETTINGS = ("--canvases", 4, "--max-pixels", 112 * 112, "--shard-size", 3)


def content(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def rows(folder) -> dict[str, dict]:
    ledgers = [json.loads(path.read_text()) for path in sorted(folder.glob("[0-9]*.json"))]
    listed = [row for ledger in ledgers for row in ledger["samples"]]
    assert len({row["id"] for row in listed}) == len(listed), "each sample once"
    return {row["id"]: row for row in listed}


@pytest.fixture
def made(clips, tmp_path, ov2):
    """A finished corpus."""
    folder = tmp_path / "made"
    assert ov2("corpus", "plan", clips, "--out", folder, *SETTINGS)[0] == 0
    assert ov2("corpus", "run", folder)[0] == 1, "one clip is broken"
    return folder


def test_clips_become_shards_with_the_tokens_of_the_library(clips, made):
    listed = rows(made)
    assert len(listed) == 8 and [name for name, row in listed.items() if row["status"] == "failed"] == ["broken.mp4"]
    assert "cannot be read as video" in listed["broken.mp4"]["reason"]
    samples = {sample.id: sample for sample in read_source(str(made), made, Report(1.0))}
    assert set(samples) == {"3.mp4"}, "only a clip with a caption can be trained on"
    tokens = shards.read_tokens(samples["3.mp4"].media[0].path)
    direct = tokenize_video(clips / "3.mp4", "released", 4, 112 * 112)
    for name in ("canvases", "patch_positions", "group_ids", "frame_times"):
        assert np.array_equal(getattr(tokens, name), getattr(direct, name)) and getattr(tokens, name).dtype.kind in "iuf"
    assert (tokens.fps, tokens.config) == (direct.fps, direct.config)


def test_shards_are_plain_tar_files_without_traces_of_time_owner_or_place(made, tmp_path):
    for shard in made.glob("*.tar"):
        assert str(tmp_path).encode() not in shard.read_bytes()
        with tarfile.open(shard) as archive:
            members = archive.getmembers()
        assert {(member.mtime, member.uid, member.uname) for member in members} == {(0, 0, "")}
        assert all(member.name.count("/") == 0 for member in members)


def test_a_run_that_is_killed_again_and_again_gives_the_same_bytes(made, clips, tmp_path, ov2):
    folder, chance = tmp_path / "killed", random.Random(0)
    ov2("corpus", "plan", clips, "--out", folder, *SETTINGS)
    command = [sys.executable, "-m", "ov2lib", "corpus", "run", str(folder)]
    killed = 0
    for _ in range(4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(0.4, 1.2))
        except subprocess.TimeoutExpired:
            process.kill()
        killed += process.wait() == -signal.SIGKILL
    ov2("corpus", "run", folder)
    assert killed and content(folder) == content(made) and set(rows(folder)) == set(rows(made))
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_workers_and_parts_of_an_array_give_the_same_bytes(made, clips, tmp_path, ov2):
    pool, parts = tmp_path / "pool", tmp_path / "parts"
    for folder in (pool, parts):
        ov2("corpus", "plan", clips, "--out", folder, *SETTINGS)
    ov2("corpus", "run", pool, "--workers", 2)
    assert ov2("corpus", "run", parts, "--shard", "1/2")[1].startswith("2 of 3 shards")
    ov2("corpus", "run", parts, "--shard", "2/2")
    assert content(pool) == content(parts) == content(made)


def test_what_is_torn_is_made_again(made, ov2):
    before = content(made)
    (made / "00000.json").write_text("{")
    (made / "00001.tar").write_bytes(b"half")
    assert "1 of 3 shards" in ov2("corpus", "status", made)[1]
    ov2("corpus", "run", made)
    assert content(made) == before


def test_failed_samples_are_tried_again_and_good_ones_are_taken_over(made, clips, ov2, monkeypatch):
    before = rows(made)
    shutil.copy(clips / "0.mp4", clips / "broken.mp4")
    tried = []
    from ov2lib.corpus import run

    monkeypatch.setattr(run, "tokenize_sample", lambda row, one, do=run.tokenize_sample: tried.append(row) or do(row, one))
    assert ov2("corpus", "retry-failed", made)[0] == 0
    assert [row["sample"]["id"] for row in tried] == ["broken.mp4"]
    after = rows(made)
    assert after["broken.mp4"]["status"] == "ok" and after["0.mp4"]["seconds"] == before["0.mp4"]["seconds"]
    for shard in made.glob("*.tar"):
        assert all(shards.read_tokens(row["media"][0]["path"]) for row in shards.shard_rows(shard))


def test_one_plan_and_two_configurations(made, clips, tmp_path, ov2):
    shutil.rmtree(clips)  # a second plan looks at no file again
    other = tmp_path / "other"
    assert ov2("corpus", "plan", made, "--out", other, "--canvases", 8, "--shard-size", 3)[0] == 0
    members = [[path.read_text() for path in sorted((folder / "members").iterdir())] for folder in (made, other)]
    assert members[0] == members[1]
    ov2("corpus", "run", other)
    assert {row["status"] for row in rows(other).values()} == {"failed"}


def test_statistics_say_lengths_tokens_and_causes(made, tmp_path, ov2):
    _, out, _ = ov2("corpus", "stats", made, "--png", tmp_path / "picture.png")
    assert "7 samples, 1 failed" in out and "samples per core-hour" in out and "1 x cannot be read as video" in out
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
    assert any((made / f"samples.{suffix}").is_file() for suffix in ("parquet", "csv"))


def test_a_name_that_is_no_text_is_as_good_as_another(clips, tmp_path, ov2):
    name = os.fsdecode(b"odd\xff.mp4")
    shutil.copy(clips / "0.mp4", clips / name)
    folder = tmp_path / "made"
    assert ov2("corpus", "plan", clips, "--out", folder, *SETTINGS)[0] == 0
    assert ov2("corpus", "run", folder)[0] == 1 and rows(folder)[name]["status"] == "ok"
    assert "odd?.mp4" in pandas.read_parquet(folder / "samples.parquet")["id"].tolist()


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "url"])
def test_every_kind_of_input_gives_its_samples(clips, tmp_path, ov2, form):
    rows_in = [{"id": "a", "video": "0.mp4", "caption": "one, two"}, {"id": "b", "video": "none.mp4", "caption": "two"}]
    place = clips / f"list.{form}"
    if form == "jsonl":
        talk = [{"role": "user", "content": "<video>?"}, {"role": "assistant", "content": "!"}]
        place.write_text(
            "".join(json.dumps({"id": row["id"], "video": row["video"], "messages": talk}) + "\n" for row in rows_in)
        )
    elif form == "csv":
        place.write_text('id,video,caption\na,0.mp4,"one, two"\nb,none.mp4,two\n')
    elif form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        pyarrow = pytest.importorskip("pyarrow")
        parquet.write_table(pyarrow.Table.from_pylist(rows_in), place)
    else:
        pytest.importorskip("fsspec")
        place = f"file://{clips}/[0b]*.mp4"
    assert ov2("corpus", "plan", place, "--out", tmp_path / "out", *SETTINGS)[0] == 0
    assert ov2("corpus", "run", tmp_path / "out")[0] == 1
    assert sorted(row["status"] for row in rows(tmp_path / "out").values()) == ["failed", "ok"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run nowhere", "holds no plan of a corpus"),
        ("plan empty --out x", "there is no clip in it"),
        ("plan clips --out empty/full", "would be lost; choose another folder"),
        ("plan clips --out x --shard-size 0", "a size of 1 or more"),
        ("plan clips --out x --fps 1 --canvases 4", "does nothing"),
        ("plan gopher://a/b --out x", "this protocol is not offered"),
        ("run made --shard 3/2", "shard 3/2"),
        ("run made --shard all", "write I/N"),
        ("run made --workers 0", "0 workers"),
    ],
)
def test_bad_input_is_one_line(words, message, made, tmp_path, ov2, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty" / "full").mkdir(parents=True)
    (tmp_path / "empty" / "full" / "mine").touch()
    status, _, err = ov2("corpus", *words.split())
    assert status == 2 and message in err and err.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_corpus_that_is_not_finished_is_not_trained_on(made):
    (made / "00002.json").unlink()
    with pytest.raises(TrainingError, match="2 of 3 shards are done"):
        list(read_source(str(made), made, Report(1.0)))


def repacked(shard, change) -> None:
    """The shard with the members that `change(name, content)` gives."""
    with tarfile.open(shard) as archive:
        members = [(member.name, archive.extractfile(member).read()) for member in archive]
    with tarfile.open(shard, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            name, data = change(name, data)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


HUGE = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000000, 3), }".ljust(117) + b"\n"
OBJECTS = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n" + bytes(8)


@pytest.mark.parametrize(
    "change",
    [
        lambda name, data: (name, HUGE if name.endswith("positions.npy") else data),
        lambda name, data: (name, OBJECTS if name.endswith("positions.npy") else data),
        lambda name, data: (name, b"no picture" if name.endswith(".png") else data),
        lambda name, data: (name, data.replace(b'"shape": [4', b'"shape": [400000000') if name.endswith(".json") else data),
        lambda name, data: (name, data.replace(b'"fps": ', b'"fps": -') if name.endswith(".json") else data),
        lambda name, data: (name, b"{}" if name.endswith(".json") else data),
        lambda name, data: (name.replace(".0.0003", ".1.0003"), data),
    ],
)
def test_hostile_shards_are_refused_in_one_line(made, change):
    shard = made / "00000.tar"
    repacked(shard, change)
    with pytest.raises(TokensError, match=r"corpus (again|run)"):
        for row in shards.shard_rows(shard):
            shards.read_tokens(row["media"][0]["path"])


@pytest.mark.parametrize("place", ["none.tar#0.0", "made/00000.tar#512.0", "made/00000.tar#0.7", "made/corpus.json.tar#0.0"])
def test_places_that_do_not_exist_are_refused(made, tmp_path, place):
    shutil.copy(made / "corpus.json", made / "corpus.json.tar")
    with pytest.raises(TokensError, match="holds no visual tokens"):
        shards.read_tokens(str(tmp_path / place))

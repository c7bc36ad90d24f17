"""Readers: JSON lines, WebDataset shards and Hugging Face datasets give the same samples, and bad rows are listed."""

import gzip
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import datasets
import pytest
from PIL import Image

from ov2lib.errors import Ov2Error, TrainingError
from ov2lib.samples import readers
from ov2lib.samples.readers import read_hf, read_jsonl, read_webdataset
from ov2lib.samples.report import Report


def row(name, *media, text="What?"):
    places = "".join(f"<{item['type']}>" for item in media)
    messages = [{"role": "user", "content": places + text}, {"role": "assistant", "content": f"It is {name}."}]
    return {"id": name, "task": "caption", "messages": messages, "media": list(media), "truth": {"name": name}}


def png(color="red"):
    content = io.BytesIO()
    Image.new("RGB", (30, 20), color).save(content, "PNG")
    return content.getvalue()


def shard(path, *members):
    """A tar file of (name, bytes) pairs, or of TarInfo as they are."""
    with tarfile.open(path, "w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def encoded(value):
    return json.dumps(value).encode()


def reasons(report):
    return {entry["reason"]: entry["ids"] for entry in report.to_json()["reasons"]}


# JSON lines


def test_jsonl_reads_what_was_written(tmp_path):
    rows = [row(f"s{number}", {"type": "video", "path": "clips/a.mp4", "options": {"num_canvases": 4}}) for number in range(3)]
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    report = Report()
    samples = list(read_jsonl(path, report))
    assert [sample.id for sample in samples] == ["s0", "s1", "s2"] and report.rows == 3 and report.skipped == 0
    assert samples[0].media[0].path == str(tmp_path / "clips" / "a.mp4")
    assert samples[0].media[0].options == {"num_canvases": 4} and samples[0].truth == {"name": "s0"}


def test_bad_lines_are_listed_with_file_and_line(tmp_path):
    path = tmp_path / "train.jsonl"
    unanswered = row("b") | {"messages": [{"role": "user", "content": "?"}]}
    lines = [encoded(row("a")), b'{"id": "broken', encoded(unanswered), b"\xff\xfe", b"[" * 100_000, b"7", encoded(row("z"))]
    path.write_bytes(b"\n".join(lines))
    report = Report()
    assert [sample.id for sample in read_jsonl(path, report)] == ["a", "z"]
    listed = reasons(report)
    assert listed["no assistant turn at the end, so there is nothing to learn"] == [f"{path}:3"]
    assert listed["a row is 7; give an object with 'messages'"] == [f"{path}:6"]
    not_json = [name for reason, names in listed.items() if reason.startswith("not JSON") for name in names]
    assert sorted(not_json) == [f"{path}:2", f"{path}:4", f"{path}:5"] and report.skipped == 5


def test_too_many_bad_lines_stop_the_run(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\n".join([encoded(row("a"))] * 150 + [b"?"] * 3))
    with pytest.raises(TrainingError, match="2 of 152 samples cannot be used, more than 1.0%"):
        list(read_jsonl(path, Report()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has no rows"),
        (b"?\n?", "no sample in it .not JSON"),
        (b'\n[{"id": 1}]', None),
        (b'[{"id": 1}]', "no sample in it .no assistant turn"),
    ],
)
def test_a_file_without_samples_is_an_error(tmp_path, content, message):
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        list(read_jsonl(path, Report()))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match="none.jsonl: cannot be read .No such file or directory.; check the path"):
        list(read_jsonl(tmp_path / "none.jsonl", Report()))


def test_a_byte_order_mark_is_no_damage(tmp_path):
    (tmp_path / "bom.jsonl").write_bytes(b"\xef\xbb\xbf" + encoded(row("a")) + b"\r\n" + encoded(row("b")) + b"\r\n")
    assert [sample.id for sample in read_jsonl(tmp_path / "bom.jsonl", Report())] == ["a", "b"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_utf_16_is_refused_with_a_remedy(tmp_path, encoding):
    (tmp_path / "wide.jsonl").write_bytes((json.dumps(row("a")) + "\n").encode(encoding))
    with pytest.raises(TrainingError, match="wide.jsonl: it is UTF-16 or UTF-32; save it as UTF-8"):
        list(read_jsonl(tmp_path / "wide.jsonl", Report()))


@pytest.mark.parametrize("first", [b"[]", b'["a row"]', b"[1", b"\0" * 3, b"\0" * 5000, b'\0{"id": 1}', b"\0\0[]"])
def test_a_first_line_like_no_other_is_a_bad_row(tmp_path, first):
    path, report = tmp_path / "a.jsonl", Report()
    path.write_bytes(first + b"\n" + encoded(row("a")) + b"\n")
    assert [sample.id for sample in read_jsonl(path, report)] == ["a"] and report.skipped == 1


def test_a_list_over_many_lines_is_read(tmp_path):
    (tmp_path / "llava.jsonl").write_text(json.dumps([row("a"), row("b")], indent=2) + "\n")
    assert [sample.id for sample in read_jsonl(tmp_path / "llava.jsonl", Report())] == ["a", "b"]


@pytest.mark.parametrize("error", [KeyError("boom"), RuntimeError("boom"), OSError("boom")])
def test_whatever_a_dataset_raises_is_one_error(tmp_path, error):
    def rows():
        yield row("a")
        raise error

    with pytest.raises(TrainingError, match="dataset: cannot be read .*boom"):
        list(read_hf(rows(), tmp_path, Report()))


def test_rows_that_python_itself_stumbles_over_are_listed(tmp_path):
    deep = b'{"id": "deep", "truth": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}"
    lines = [
        encoded(row("a")),
        b'{"id": ' + b"9" * 5000 + b"}",
        deep,
        encoded(row("half \ud800", text="\ud800")),
        encoded(row(0)),
    ]
    (tmp_path / "odd.jsonl").write_bytes(b"\n".join(lines))
    report = Report()
    assert [sample.id for sample in read_jsonl(tmp_path / "odd.jsonl", report)] == ["a", "0"]
    assert report.skipped == 3 and any("nested more than 100 deep" in reason for reason in report.reasons)


def test_a_mistake_in_the_program_is_listed_with_its_type_and_place(tmp_path, monkeypatch):
    whole = readers.parse_sample

    def parse(given, *rest):
        return given["nothing"] if given["id"] == "b" else whole(given, *rest)

    monkeypatch.setattr(readers, "parse_sample", parse)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(encoded(row(name)) for name in "abc"))
    report = Report()
    assert [sample.id for sample in read_jsonl(tmp_path / "a.jsonl", report)] == ["a", "c"]
    (reason,) = report.reasons
    assert reason.startswith("KeyError: 'nothing' (test_train_readers.py, line ")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, Ov2Error])
def test_what_is_no_fault_of_a_row_ends_the_reading(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error("the disk is full")

    monkeypatch.setattr(readers, "parse_sample", fail)
    (tmp_path / "a.jsonl").write_bytes(encoded(row("a")))
    with pytest.raises(error, match="the disk is full"):
        list(read_jsonl(tmp_path / "a.jsonl", Report()))


# WebDataset


def test_a_shard_gives_samples_and_writes_media_by_content(tmp_path):
    clip = b"not decoded here"
    path = shard(
        tmp_path / "0.tar",
        ("./a/0001.0.jpg", png()),
        ("./a/0001.mp4", clip),
        ("./a/0001.json", encoded(row("one", {"type": "video", "path": "0001.mp4"}, {"type": "image", "path": "0.jpg"}))),
        ("./a/0002.json", encoded(row("two", {"type": "video", "path": "mp4"}))),
        ("./a/0002.mp4", clip),
        ("./a/0002.txt", b"neither text nor media of a sample"),
        ("./a/README", b"no key"),
        ("./a/0003.json", encoded(row("three"))),
    )
    samples = list(read_webdataset([path], tmp_path / "media", report := Report()))
    assert [sample.id for sample in samples] == ["one", "two", "three"] and report.rows == 3
    video, image = (Path(item.path) for item in samples[0].media)
    assert video.read_bytes() == clip and image.read_bytes() == png() and image.suffix == ".jpg"
    digest = hashlib.sha256(clip).hexdigest()
    assert video == tmp_path / "media" / digest[:2] / f"{digest}.mp4" and samples[1].media[0].path == str(video)
    assert len([file for file in (tmp_path / "media").rglob("*") if file.is_file()]) == 2


def test_media_that_the_json_does_not_name_are_those_beside_it(tmp_path):
    llava = {"conversations": [{"from": "human", "value": "<image>\n?"}, {"from": "gpt", "value": "!"}]}
    path = shard(tmp_path / "0.tar", ("1.jpg", png()), ("1.json", encoded(llava)))
    (sample,) = read_webdataset([path], tmp_path / "media", Report())
    assert sample.id == f"{path}:1" and Path(sample.media[0].path).read_bytes() == png()


def test_members_that_do_not_stand_side_by_side(tmp_path):
    rows = [row(str(number), {"type": "image", "path": "jpg"}) for number in range(3)]
    pictures = [(f"{number}.jpg", png(color)) for number, color in enumerate(("red", "green", "blue"))]
    texts = [(f"{number}.json", encoded(one)) for number, one in enumerate(rows)]
    path = shard(tmp_path / "apart.tar", *pictures, *texts)
    samples = list(read_webdataset([path], tmp_path / "media", Report()))
    assert [sample.id for sample in samples] == ["0", "1", "2"]
    assert [Path(sample.media[0].path).read_bytes() for sample in samples] == [content for _, content in pictures]
    (tmp_path / "apart.tar.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(TrainingError, match="apart.tar.gz: a sample's members do not stand side by side"):
        list(read_webdataset([tmp_path / "apart.tar.gz"], tmp_path / "media", Report()))


SUFFIXES = "mp4 mkv webm avi mov wmv 3gp mts m2ts mpg mpeg ts flv ogv asf vob gif m4v WMV".split()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_members_with_any_video_suffix_are_media(tmp_path, suffix):
    path = shard(tmp_path / "0.tar", (f"1.{suffix}", b"film"), ("1.json", encoded(row("a", text="<video>Why?"))))
    (sample,) = read_webdataset([path], tmp_path / "media", Report())
    assert sample.media[0].kind == "video" and Path(sample.media[0].path).read_bytes() == b"film"


def test_a_gif_is_what_its_text_calls_it(tmp_path):
    path = shard(tmp_path / "0.tar", ("1.gif", b"GIF"), ("1.json", encoded(row("a", text="<image>Why?"))))
    (sample,) = read_webdataset([path], tmp_path / "media", Report())
    assert sample.media[0].kind == "image"


def test_media_named_in_the_messages_of_a_shard(tmp_path):
    messages = [{"role": "user", "content": [{"type": "image", "image": "1.png"}]}, {"role": "assistant", "content": "!"}]
    path = shard(tmp_path / "0.tar", ("1.png", png()), ("1.json", encoded({"id": 0, "messages": messages})))
    (sample,) = read_webdataset([path], tmp_path / "media", Report())
    assert sample.id == "0" and Path(sample.media[0].path).read_bytes() == png()


def test_compressed_shards_and_several_of_them(tmp_path):
    plain = shard(tmp_path / "0.tar", ("1.json", encoded(row("a"))))
    with tarfile.open(tmp_path / "1.tar.gz", "w:gz") as archive:
        archive.add(shard(tmp_path / "x", ("1.json", b"")), "skip.tar")
        archive.add(tmp_path / "0.tar", "also.tar")
        info = tarfile.TarInfo("7.json")
        info.size = len(encoded(row("b")))
        archive.addfile(info, io.BytesIO(encoded(row("b"))))
    report = Report()
    samples = read_webdataset([plain, tmp_path / "1.tar.gz"], tmp_path, report)
    assert [sample.id for sample in samples] == ["a", "b"]


def link(name, kind, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (link("1.jpg", tarfile.SYMTYPE, "/etc/hostname"), "a member is a link or a device; pack the files themselves"),
        (link("1.jpg", tarfile.LNKTYPE, "../secret"), "a member is a link or a device; pack the files themselves"),
        (link("1.jpg", tarfile.FIFOTYPE, ""), "a member is a link or a device; pack the files themselves"),
        (("../1.jpg", b"x"), "a member's name leaves the archive; pack with relative names"),
        (("/etc/1.jpg", b"x"), "a member's name leaves the archive; pack with relative names"),
        (("1.jpg", b"x" * 99), "a member has 99 bytes; split it"),
    ],
)
def test_members_that_could_do_harm_are_refused(tmp_path, monkeypatch, member, reason):
    monkeypatch.setattr(readers, "MAX_MEDIA_BYTES", 98)
    path = shard(tmp_path / "0.tar", ("0.json", encoded(row("good"))), member, ("1.json", encoded(row("bad"))))
    report = Report()
    assert "good" in [sample.id for sample in read_webdataset([path], tmp_path / "media", report)]
    assert reason in reasons(report) and not (tmp_path / "media").exists()


def test_a_sparse_member_counts_with_its_full_size(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MAX_MEDIA_BYTES", 1 << 20)
    info = tarfile.TarInfo("0.mp4")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,1"}
    with tarfile.open(tmp_path / "0.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    with pytest.raises(TrainingError, match="bytes; split it"):
        list(read_webdataset([tmp_path / "0.tar"], tmp_path / "media", Report()))


def test_groups_without_their_json_or_their_media_are_listed(tmp_path):
    path = shard(
        tmp_path / "0.tar",
        ("0.jpg", png()),
        ("1.json", encoded(row("one", {"type": "video", "path": "/etc/hostname"}))),
        ("2.json", b"{"),
        ("3.json", encoded(row("three"))),
    )
    report = Report()
    assert [sample.id for sample in read_webdataset([path], tmp_path, report)] == ["three"]
    listed = reasons(report)
    assert listed["0 .json members; a sample has one"] == [f"{path}:0"]
    assert listed["no member is called /etc/hostname; name media as in the shard"] == [f"{path}:1"]
    assert report.skipped == 3


@pytest.mark.parametrize("url", ["pipe:touch pwned", "http://localhost/0.tar", "{0..3}.tar", "none.tar"])
def test_only_local_files_are_shards(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingError, match="no such shard; name local tar files"):
        list(read_webdataset([url], "media", Report()))
    assert list(tmp_path.iterdir()) == []


def test_damaged_shards_are_errors_and_never_just_shorter(tmp_path):
    members = [(f"{number}.json", encoded(row(f"s{number}", text="?" * 900))) for number in range(8)]
    whole = shard(tmp_path / "0.tar", *members).read_bytes()
    step = whole.index(b"1.json")  # a header and its content
    lost_header = whole[: 3 * step] + b"?" * 512 + whole[3 * step + 512 :]
    for damaged in (whole[: 3 * step - 600], whole[:512], whole[: 3 * step + 100], lost_header, b"no tar" * 200, b""):
        (tmp_path / "1.tar").write_bytes(damaged)
        with pytest.raises(TrainingError, match="1.tar: damaged or no tar file"):
            list(read_webdataset([tmp_path / "1.tar"], tmp_path / "media", Report()))
    (tmp_path / "1.tar").write_bytes(whole[: 8 * step])
    assert len(list(read_webdataset([tmp_path / "1.tar"], tmp_path / "media", Report()))) == 8  # without an end mark


def test_a_media_folder_that_cannot_be_written_is_no_bad_row(tmp_path):
    (tmp_path / "media").touch()
    path = shard(tmp_path / "0.tar", ("0.jpg", png()))
    with pytest.raises(Ov2Error, match="cannot write to") as caught:
        list(read_webdataset([path], tmp_path / "media", Report()))
    assert not isinstance(caught.value, TrainingError)


# Hugging Face datasets


def llava(name, **columns):
    return {"id": name, "conversations": [{"from": "human", "value": "<image>?"}, {"from": "gpt", "value": "!"}], **columns}


def test_a_dataset_by_folder_keeps_the_bytes_of_its_images(tmp_path):
    rows = [llava("a", image={"bytes": png(), "path": "a.png"}), llava("b", image={"bytes": png("blue"), "path": None})]
    dataset = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
    dataset.to_parquet(tmp_path / "data" / "train.parquet")
    samples = list(read_hf(str(tmp_path / "data"), tmp_path / "media", Report()))
    assert [sample.id for sample in samples] == ["a", "b"]
    assert [Path(sample.media[0].path).read_bytes() for sample in samples] == [png(), png("blue")]
    assert Path(samples[0].media[0].path).suffix == ".png"


def test_decoded_images_are_written_too(tmp_path):
    def rows():
        yield llava("a", image=Image.new("CMYK", (30, 20)))

    (sample,) = read_hf(datasets.IterableDataset.from_generator(rows), tmp_path, Report())
    with Image.open(sample.media[0].path) as written:
        assert written.size == (30, 20) and written.mode == "RGB"


def test_a_decoded_image_that_cannot_be_read_is_a_bad_row(tmp_path):
    def rows():
        yield llava("a", image=Image.new("La", (30, 20)))
        yield llava("b", image=Image.new("RGBA", (30, 20)))

    report = Report()
    (sample,) = read_hf(datasets.IterableDataset.from_generator(rows), tmp_path, report)
    with Image.open(sample.media[0].path) as written:
        assert sample.id == "b" and written.getextrema() == ((255, 255),) * 3, "transparent on white"
    assert report.skipped == 1


def test_the_schema_as_columns(tmp_path):
    clip = {"type": "video", "path": "clips/a.mp4", "options": {"num_canvases": 4}}
    picture = {"type": "image", "path": "b.png", "options": {"max_pixels": 9}}
    rows = [row("a", clip), row("b", picture)]
    a, b = read_hf(datasets.Dataset.from_list(rows), tmp_path, Report())
    assert a.media[0].path == str(tmp_path / "clips" / "a.mp4") and a.truth == {"name": "a"}
    assert a.media[0].options == {"num_canvases": 4} and b.media[0].options == {"max_pixels": 9}  # no None from Arrow


def test_finevision_columns(tmp_path):
    turns = [{"user": "What?", "assistant": "This."}, {"user": "And?", "assistant": "That."}]
    images = [{"bytes": png(), "path": None}, {"bytes": png("blue"), "path": None}]
    dataset = datasets.Dataset.from_list([{"texts": turns, "images": images, "source": "x"}])
    (sample,) = read_hf(dataset.cast_column("images", datasets.List(datasets.Image())), tmp_path, Report())
    assert sample.messages[0] == ("user", "<image>\n<image>\nWhat?") and sample.rounds == 2
    assert [Path(item.path).read_bytes() for item in sample.media] == [png(), png("blue")]


def test_bad_rows_of_a_dataset_are_listed(tmp_path):
    dataset = datasets.Dataset.from_list([row("a"), row("b") | {"messages": []}])
    report = Report()
    assert [sample.id for sample in read_hf(dataset, tmp_path, report)] == ["a"]
    assert report.skipped == 1 and report.rows == 2


def test_datasets_that_cannot_be_opened_say_so(tmp_path):
    with pytest.raises(TrainingError, match="cannot be opened as a dataset"):
        list(read_hf(str(tmp_path / "none"), tmp_path, Report()))
    datasets.Dataset.from_list([row("a")]).to_parquet(tmp_path / "data" / "train.parquet")
    with pytest.raises(TrainingError, match="Bad split: test"):
        list(read_hf(str(tmp_path / "data"), tmp_path, Report(), split="test"))
    (tmp_path / "data" / "train.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(TrainingError, match="cannot be opened as a dataset|cannot be read"):
        list(read_hf(str(tmp_path / "data"), tmp_path, Report()))


def test_llavas_own_json_list_is_read_piece_by_piece(tmp_path, monkeypatch):
    rows = [
        {
            "id": n,
            "image": f"{n}.png",
            "conversations": [{"from": "human", "value": "<image>\nWhat, [é]?"}, {"from": "gpt", "value": "x" * n}],
        }
        for n in range(1, 60)
    ]
    path = tmp_path / "llava.json"
    path.write_text("\ufeff" + json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    monkeypatch.setattr(readers, "PIECE", 16)
    samples = list(readers.read_jsonl(path, Report()))
    assert [sample.id for sample in samples] == [str(n) for n in range(1, 60)]
    assert samples[7].media[0].path == str(tmp_path / "8.png") and samples[7].messages[1] == ("assistant", "x" * 8)


def test_a_torn_json_list_names_the_item(tmp_path):
    (tmp_path / "a.json").write_text('[{"id": 1}, {"id": ]')
    with pytest.raises(TrainingError, match=r"a.json\[1\]: not JSON"):
        list(readers.read_jsonl(tmp_path / "a.json", Report(max_bad_share=1)))


def test_role_and_content_under_conversations_with_items_that_bring_their_paths(tmp_path):
    content = [{"type": "video", "video": "a.mp4"}, {"type": "text", "text": "When?"}]
    row = {"conversations": [{"role": "user", "content": content}, {"role": "assistant", "content": "now"}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    (sample,) = readers.read_source(str(tmp_path), tmp_path, Report())
    assert sample.messages == (("user", "<video>When?"), ("assistant", "now")) and sample.media[0].path == str(
        tmp_path / "a.mp4"
    )


def test_a_hub_datasets_configuration_and_split_are_passed_on(tmp_path, monkeypatch):
    asked = []

    def load(name, split, configuration):
        asked.append((name, split, configuration))
        return [{"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}]}]

    monkeypatch.setattr(readers, "_load", load)
    for place in ("owner/set", "owner/set#docvqa", "owner/set#docvqa/test"):
        assert len(list(readers.read_source(place, tmp_path, Report()))) == 1
    assert asked == [("owner/set", "train", None), ("owner/set", "train", "docvqa"), ("owner/set", "test", "docvqa")]


@pytest.mark.parametrize("place", ["/none/mine", "./mine", "my clips", "a/b/c", "mine/*.tar", "mine-00.tar.gz"])
def test_what_no_dataset_is_called_is_a_path_and_no_hub_is_asked(tmp_path, monkeypatch, place):
    monkeypatch.setattr(readers, "_load", lambda *_: pytest.fail("asked"))
    with pytest.raises(TrainingError, match=f"^{re.escape(place)}: no such file or folder; check the path"):
        readers.read_source(place, tmp_path, Report())

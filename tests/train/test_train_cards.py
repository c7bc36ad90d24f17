"""Data cards, stage configurations and reported tables say the same, and a broken card is refused."""

import re
import subprocess
import sys

import pytest

from kit.cards import card_folder, load_cards, read_card
from kit.school.recipe import mini_stage
from ov2lib import reported
from ov2lib.errors import TrainingError
from ov2lib.train.buckets import buckets
from ov2lib.train.stages import STAGES, stage_config

CARDS = load_cards()
# how the table of stages writes each corpus
WRITTEN = {
    "mid_training_85m": "Mid-Training-85M", "instruct_22m": "Instruct 22M", "finevision": "FineVision 24M",
    "captions_30s": "30s captions 4.2M", "captions_30_60s": "30-60s captions 2.7M", "captions_60_180s": "60-180s captions 700K",
    "captions_10_15min": "10-15min", "spatial_4m": "Spatial-4M", "llava_video_178k": "LLaVA-Video-178K 1.6M",
    "videochat_flash": "VideoChat-Flash", "molmo2": "Molmo2", "timelens": "TimeLens",
}  # fmt: skip


def test_every_corpus_of_a_stage_has_a_card_and_every_card_a_use():
    used = {source.card for stage in STAGES for build in (mini_stage, stage_config) for source in build(stage).sources}
    assert used | {"jumpscore"} == set(CARDS)
    assert CARDS["jumpscore"].stages == ()


@pytest.mark.parametrize("name", WRITTEN)
def test_cards_agree_with_the_stages_and_with_the_table_of_stages(name):
    card = CARDS[name]
    sources = {stage: [s for s in stage_config(stage).sources if s.card == name] for stage in STAGES}
    assert card.stages == tuple(stage for stage, found in sources.items() if found)
    assert all(source.samples == card.samples and source.kind == card.kind for found in sources.values() for source in found)
    told = {
        int(row["stage"]) for row in reported.rows("stages") if row["field"].endswith("data") and WRITTEN[name] in row["value"]
    }
    assert set(card.stages) == told


def test_caption_cards_are_the_buckets():
    by_bucket = {card.bucket: card for card in CARDS.values() if card.bucket}
    assert set(by_bucket) == {bucket.name for bucket in buckets()}
    for bucket in buckets():
        card = by_bucket[bucket.name]
        assert (card.samples, card.frames[0], card.stages) == (bucket.clips, bucket.frames, bucket.stages)
        used = {s.max_frames for stage in card.stages for s in stage_config(stage).sources if s.card == card.name}
        assert used == set(card.frames)


def test_mixtures_are_whole_and_each_belongs_to_a_card():
    corpora = {row["corpus"] for row in reported.rows("data_mixture")} - {"VideoCaption"}  # whose parts are the buckets
    assert {card.mixture for card in CARDS.values() if card.mixture} == corpora
    for card in CARDS.values():
        assert not card.mixture or sum(card.composition().values()) == pytest.approx(100, abs=0.21)  # printed to 0.1


def test_disagreements_on_size_are_in_the_open():
    told = {(row["corpus"], row["component"]): float(row["value"]) for row in reported.rows("data_mixture")}
    spatial = CARDS["spatial_4m"]
    assert spatial.samples == told["Spatial", "name and abstract"]
    assert list(spatial.disputed.values()) == [told["Spatial", "chart label"]] and "2.78" in spatial.text
    clips = {
        row["item"]: int(row["value"]) for row in reported.rows("jumpscore_dataset") if row["quantity"] in ("rows", "videos")
    }
    jumps = CARDS["jumpscore"]
    assert [jumps.samples, *jumps.disputed.values()] == [clips["released test split"], clips["in-house version"]]


def test_the_mean_length_that_a_plan_counts_is_the_cards():
    """Samples by range of seconds, each video in the middle of its range."""
    ranges = [
        [float(number) for number in row] for row in re.findall(r"\| (\d+)-(\d+) \| (\d+) \|", CARDS["llava_video_178k"].text)
    ]
    mean = sum((low + high) / 2 * samples for low, high, samples in ranges) / sum(samples for *_, samples in ranges)
    (source,) = (source for source in stage_config(3).sources if source.card == "llava_video_178k")
    assert source.seconds == round(mean, 1)


def test_every_card_tells_people_its_gaps():
    for card in CARDS.values():
        assert "## Gaps" in card.text or "## Disagreements" in card.text
        assert card.licence and card.obtain and card.source


GOOD = "name: a\ntitle: A\nkind: image\nsamples: 3\nstages: [1]\nlicence: x\nsource: y\nobtain: z\n"


@pytest.mark.parametrize(
    ("front", "message"),
    [
        (GOOD.replace("samples: 3\n", ""), "missing or unknown: samples"),
        (GOOD + "size: 3\n", "missing or unknown: size"),
        (GOOD.replace("samples: 3", "samples: many"), "whole numbers"),
        (GOOD.replace("samples: 3", "samples: 0"), "whole numbers"),
        (GOOD.replace("stages: [1]", "stages: 1"), "stages is 1; give a list"),
        (GOOD.replace("stages: [1]", "stages: [5]"), "stages are among"),
        (GOOD.replace("kind: image", "kind: audio"), "kind is one of text, image, video"),
        (GOOD.replace("licence: x", "licence:"), "licence is None; give text"),
        (GOOD.replace("name: a", "name: b"), "must be the file's"),
        (GOOD + "disputed: [3]\n", "give a mapping"),
        (GOOD + "x: [\n", "no YAML front matter"),
        ("- a\n", "field: value"),
    ],
)
def test_a_card_that_cannot_be_relied_on_is_refused(tmp_path, front, message):
    path = tmp_path / "a.md"
    path.write_text(f"---\n{front}---\ntext\n")
    with pytest.raises(TrainingError, match=message):
        read_card(path)


def test_files_that_are_no_cards_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="no data card"):
        load_cards(tmp_path)
    (tmp_path / "a.md").write_text("# just text\n")
    with pytest.raises(TrainingError, match="no YAML front matter"):
        load_cards(tmp_path)
    (tmp_path / "a.md").write_bytes(b"---\n\xff\n---\n")
    with pytest.raises(TrainingError, match="cannot be read"):
        load_cards(tmp_path)


def test_a_good_card_is_read_whole(tmp_path):
    (tmp_path / "a.md").write_text(f"---\n{GOOD.replace('3', 'null')}---\n\nSome *text*.\n---\nmore\n")
    card = load_cards(tmp_path)["a"]
    assert card.samples is None and card.stages == (1,) and card.text == "Some *text*.\n---\nmore"


def test_outside_a_clone_stages_work_and_cards_say_where_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ov2lib.files.__file__", str(tmp_path / "site-packages" / "ov2lib" / "files.py"))
    assert mini_stage(1).stage == 1
    with pytest.raises(TrainingError, match="clone of the project"):
        card_folder()


def test_stages_and_cards_need_no_heavy_package():
    heavy = "{'torch', 'pandas', 'matplotlib', 'transformers'}"
    code = f"import sys, kit.cards as c; c.load_cards(); print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

"""LoRA beside full training: what a study writes, and what the committed one holds."""

from pathlib import Path

import pytest

from kit.school import adapters, exam
from kit.school.lessons import lesson_config
from ov2lib.train.run import STEPS_LIMIT


def test_a_study_trains_what_is_missing_and_examines_both(tmp_path, monkeypatch):
    monkeypatch.setenv(STEPS_LIMIT, "1")
    monkeypatch.setattr(adapters, "mini_stage", lesson_config)
    monkeypatch.setattr(adapters, "SAMPLES", 8)
    monkeypatch.chdir(tmp_path)
    output = Path("study")
    rows = adapters.full_training(2, output) + adapters.try_setting(2, adapters.CHOSEN, output)
    assert [row["task"] for row in rows[: len(rows) // 2]] == [row["task"] for row in rows[len(rows) // 2 :]]
    assert {(row["beside"], row["rank"]) for row in rows} == {("everything", 0), ("connector", 32)}
    assert rows[0]["trained"] > rows[-1]["trained"] > 0
    again = [row for row in exam.examine_run(output / "seed0", 2, "full", 8) if row["after"] == row["stage"] == 2]
    sighted = {row["task"]: row["score"] for row in again if row["arm"] == "sighted"}
    assert sighted == {row["task"]: row["score"] for row in rows if row["beside"] == "everything"}


def test_the_committed_study_has_every_seed_in_both_variants():
    rows, facts = adapters.read_adapters()
    assert facts["command"].startswith("python -m kit.school.adapters")
    for stage in (2, 3, 4):
        for variant in ("full", "lora"):
            assert {row["seed"] for row in rows if (row["stage"], row["variant"]) == (stage, variant)} == set(facts["seeds"])
    assert all(0 <= row["score"] <= 1 for row in rows)
    assert {row["variant"] for row in rows if row["stage"] == adapters.SWEPT and row["seed"]} == {"full", "lora"}


@pytest.mark.parametrize("setting", adapters.SETTINGS)
def test_a_setting_changes_what_it_names(setting):
    rank, rate, share, others = setting
    config = adapters.with_setting(3, *setting)
    assert (config.lora.rank, config.learning_rate) == (rank, rate) and config.lora.alpha == 2 * rank
    assert config.steps == round(share * adapters.STEPS[3])
    assert all(getattr(config.lora, name) is value for name, value in others.items())

"""Whole runs of a tiny model on a handful of pictures: learning rates, resume, what is saved, what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_cases import STEPS, losses, tiny_stage

from kit.school.recipe import mini_stage
from ov2lib.errors import TrainingError
from ov2lib.model import LlavaOnevision2ForConditionalGeneration, modeling
from ov2lib.model.loss import bin_mean_loss
from ov2lib.train.parts import part_of
from ov2lib.train.run import train
from ov2lib.train.stages import Source, stage_config
from ov2lib.train.start import run_folder
from ov2lib.train.trainer import read_metrics

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, start, data) -> Path:
    output = tmp_path_factory.mktemp("runs")
    train(tiny_stage(), output, start, {"pictures": data})
    return run_folder(output, 1, "full", "mini")


def test_progress_is_one_line_on_stderr_and_nothing_on_stdout(tmp_path, start, data, capfd):
    train(tiny_stage(steps=2), tmp_path, start, {"pictures": data})
    out, err = capfd.readouterr()
    assert out == "" and "stage 1: 100%" in err and "loss" in err and "grad_norm" not in err


def test_a_run_learns_and_leaves_its_configuration_metrics_and_model(finished):
    curve = losses(finished)
    assert len(curve) == STEPS and curve[-1] < 0.9 * curve[0]
    config = json.loads((finished / "config.json").read_text())
    assert config["config"]["learning_rate"] == 3e-3 and config["origin"]["clip"].startswith(("proxy", "assumed", "published"))
    assert json.loads((finished / "data" / "report.json").read_text())["skipped"] == 0
    assert list((finished / "model").glob("*.safetensors")) and not list(finished.rglob("*.bin"))
    assert LlavaOnevision2ForConditionalGeneration.from_pretrained(finished / "model").config.model_type


def test_the_rate_warms_up_and_falls_to_its_minimum(tmp_path, start, data):
    train(tiny_stage(warmup_fraction=0.25, min_learning_rate=1e-4), tmp_path, start, {"pictures": data})
    rows = read_metrics(run_folder(tmp_path, 1, "full", "mini") / "metrics.jsonl")
    rates = [row["learning_rate"] for row in rows if "learning_rate" in row]
    assert rates[:3] == pytest.approx([0.0, 1.5e-3, 3e-3])
    assert rates[3:] == sorted(rates[3:], reverse=True) and rates[-1] >= 1e-4


KILLED = """
import os, signal, sys
from ov2lib.train import trainer
log = trainer.MetricsFile.on_log
def die(self, args, state, control, logs=None, **kwargs):
    log(self, args, state, control, logs, **kwargs)
    if state.global_step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
trainer.MetricsFile.on_log = die
sys.path.insert(0, sys.argv[1])
from test_train_run import tiny_stage, train, Path
train(tiny_stage(), Path(sys.argv[2]), Path(sys.argv[3]), {"pictures": Path(sys.argv[4])})
"""


def test_a_killed_run_goes_on_exactly_as_if_nothing_had_happened(tmp_path, start, data, finished):
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path), str(start), str(data)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "notebooks")))}
    killed = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = run_folder(tmp_path, 1, "full", "mini")
    assert len(losses(folder)) == 5
    train(tiny_stage(), tmp_path, start, {"pictures": data})
    assert losses(folder) == losses(finished)
    resumed, whole = (load_file(run / "model" / "model.safetensors") for run in (folder, finished))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_checkpoint_torn_by_a_kill_is_not_resumed_from(tmp_path, start, data, finished, monkeypatch):
    from ov2lib.train import trainer

    save = trainer.StageTrainer._save_rng_state

    def torn(self, folder):
        if self.state.global_step == 4:
            raise KeyboardInterrupt
        save(self, folder)

    monkeypatch.setattr(trainer.StageTrainer, "_save_rng_state", torn)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_stage(), tmp_path, start, {"pictures": data})
    monkeypatch.undo()
    folder = run_folder(tmp_path, 1, "full", "mini")
    assert trainer.last_checkpoint(folder / "checkpoints").name == "checkpoint-2"
    train(tiny_stage(), tmp_path, start, {"pictures": data})
    assert losses(folder) == losses(finished)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, start, data, monkeypatch):
    from ov2lib.train import trainer

    save = trainer.StageTrainer._save_optimizer_and_scheduler

    def full(self, folder):
        if self.state.global_step == 4:
            raise OSError(28, "No space left on device")
        save(self, folder)

    monkeypatch.setattr(trainer.StageTrainer, "_save_optimizer_and_scheduler", full)
    with pytest.raises(TrainingError, match="No space left on device; the checkpoint before is .*checkpoint-2, intact"):
        train(tiny_stage(), tmp_path, start, {"pictures": data})
    assert [path.name for path in (run_folder(tmp_path, 1, "full", "mini") / "checkpoints").iterdir()] == ["checkpoint-2"]


def test_a_loss_that_is_not_finite_stops_the_run_before_it_harms_the_weights(tmp_path, start, data, monkeypatch):
    seen = []

    def broken(head, hidden, targets):
        seen.append(targets)
        return bin_mean_loss(head, hidden, targets) * (float("nan") if len(seen) == 10 else 1.0)

    monkeypatch.setattr(modeling, "bin_mean_loss", broken)
    with pytest.raises(
        TrainingError, match="the loss is nan at step 5; the weights are untouched and the last checkpoint is .*-4"
    ):
        train(tiny_stage(), tmp_path, start, {"pictures": data})


def test_parts_that_are_not_trained_stay_as_they_were_to_the_bit(tmp_path, start, data):
    result = train(tiny_stage(trainable=("connector",), steps=2, warmup_fraction=0.0), tmp_path, start, {"pictures": data})
    before, after = load_file(start / "model.safetensors"), load_file(result / "model.safetensors")
    changed = {part_of(name) for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"connector"}


def test_parts_may_have_rates_of_their_own(tmp_path, start, data):
    stage = tiny_stage(part_learning_rates={"vision": 0.0}, weight_decay=0.0, steps=2, warmup_fraction=0.0)
    result = train(stage, tmp_path, start, {"pictures": data})
    before, after = load_file(start / "model.safetensors"), load_file(result / "model.safetensors")
    assert {part_of(name) for name in before if not torch.equal(before[name], after[name])} == {"connector", "language"}


def test_a_finished_run_is_not_run_again(finished, start, data):
    before = (finished / "model" / "model.safetensors").stat().st_mtime_ns
    assert train(tiny_stage(), finished.parents[1], start, {"pictures": data}) == finished / "model"
    assert (finished / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_a_run_of_an_older_version_is_taken_or_refused_with_the_remedy(finished, start, data, tmp_path):
    """What has been added to sources since has its default; what cannot be read is no traceback."""
    folder = shutil.copytree(finished, run_folder(tmp_path, 1, "full", "mini"))
    path = folder / "config.json"
    whole = json.loads(path.read_text())
    for source in whole["config"]["sources"]:
        del source["seconds"]
    path.write_text(json.dumps(whole))
    assert train(tiny_stage(), tmp_path, start, {"pictures": data}) == folder / "model"
    for broken in ("{", "[]", "{}", json.dumps(whole | {"config": {"sources": [{"frames": 3}]}})):
        path.write_text(broken)
        with pytest.raises(TrainingError, match="a run of another version .* remove it or choose another --output"):
            train(tiny_stage(), tmp_path, start, {"pictures": data})


def test_a_run_of_another_configuration_is_not_mixed_with_it(finished, start, data):
    with pytest.raises(TrainingError, match="holds another run: learning_rate was 0.003 and is 0.1"):
        train(tiny_stage(learning_rate=0.1), finished.parents[1], start, {"pictures": data})


def test_unpacked_samples_are_trained_in_batches_of_like_length(tmp_path, start, data):
    stage = tiny_stage(packing="pool", micro_batch=4, global_batch=4, steps=3)
    train(stage, tmp_path, start, {"pictures": data})
    assert len(losses(run_folder(tmp_path, 1, "full", "mini"))) == 3


def test_lora_leaves_the_base_alone_and_a_stage_can_start_from_an_adapter(tmp_path, start, data):
    stage = replace(mini_stage(1, "lora"), **{name: getattr(tiny_stage(), name) for name in ("sources", "sequence_length")})
    stage = replace(stage, steps=2, micro_batch=1, global_batch=2, max_pixels=784)
    adapter = train(stage, tmp_path, start, {"pictures": data})
    assert adapter.name == "adapter" and (adapter / "adapter_model.safetensors").is_file()
    assert not list(adapter.glob("model*.safetensors"))
    result = train(replace(tiny_stage(steps=1), stage=2), tmp_path, adapter, {"pictures": data})
    assert (result / "model.safetensors").is_file() and (result.parent / "start" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"global_batch": 3, "micro_batch": 2}, "multiple"),
        ({"trainable": ("eyes",)}, "eyes"),
    ],
)
def test_settings_that_cannot_be_are_named(change, message):
    with pytest.raises(TrainingError, match=message):
        tiny_stage(**change)


def test_bad_samples_are_counted_and_too_many_are_an_error(tmp_path, start, data):
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    rows[3]["media"][0]["path"] = "missing.png"
    for row in rows:
        row["media"][0]["path"] = str(data.parent / row["media"][0]["path"])
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train(tiny_stage(steps=1), tmp_path / "few", start, {"pictures": few}, max_bad_share=0.1)
    report = json.loads((run_folder(tmp_path / "few", 1, "full", "mini") / "data" / "report.json").read_text())
    assert report["skipped"] == 1 and report["reasons"][0]["ids"] == ["sample-3"]
    with pytest.raises(TrainingError, match=f"1 of {len(rows)} samples cannot be used"):
        train(tiny_stage(steps=1), tmp_path / "strict", start, {"pictures": few})
    many = tmp_path / "many.jsonl"
    many.write_text("".join(json.dumps(row) + "\n" for row in rows * 3))
    with pytest.raises(TrainingError, match="samples cannot be used"):
        train(
            tiny_stage(steps=1, sources=(Source("pictures", "mini_world", 500, "image"),)),
            tmp_path / "many",
            start,
            {"pictures": many},
        )


def test_a_stage_without_the_one_before_says_how_to_make_it(tmp_path):
    with pytest.raises(TrainingError, match=r"run `ov2 train --recipe stage2 --output .*` first, or pass --from"):
        train(replace(mini_stage(3), steps=1), tmp_path)


def test_a_source_without_data_names_its_card(tmp_path, start):
    with pytest.raises(TrainingError, match="no data for 'mid_training_85m'.*data_cards/mid_training_85m.md"):
        train(replace(stage_config(1, "full"), precision="fp32"), tmp_path, start)


def test_a_checkpoint_of_another_architecture_is_named_and_claims_nothing(tmp_path, start, data):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "qwen3"}')
    with pytest.raises(TrainingError, match="holds a model of type 'qwen3', not 'llava_onevision2'"):
        train(tiny_stage(), tmp_path / "runs", other, {"pictures": data})
    assert not (run_folder(tmp_path / "runs", 1, "full", "mini") / "config.json").exists()
    with pytest.raises(TrainingError, match="nowhere holds no model"):
        train(tiny_stage(), tmp_path / "runs", tmp_path / "nowhere", {"pictures": data})


def test_data_may_be_prepared_first_and_the_run_takes_them_as_they_are(tmp_path, start, data, finished):
    prepared = train(tiny_stage(), tmp_path, start, {"pictures": data}, prepare_only=True)
    folder = run_folder(tmp_path, 1, "full", "mini")
    assert prepared == folder / "data" and not (folder / "model").exists()
    before = (prepared / "plan.json").stat().st_mtime_ns
    train(tiny_stage(), tmp_path, start, {"pictures": data})
    assert (prepared / "plan.json").stat().st_mtime_ns == before and losses(folder) == losses(finished)

"""Two processes train what one does, replicated and sharded; every other bin holds no image."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_cases import distributed_stage, losses

from ov2lib.model import LlavaOnevision2ForConditionalGeneration
from ov2lib.model.adapter import load_adapter
from ov2lib.train.launch import accelerate_config
from ov2lib.train.run import train
from ov2lib.train.start import load_start, run_folder

ROOT = Path(__file__).parents[2]
LAUNCHERS = {  # each chooses a free port
    "ddp": ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    "fsdp2": ["accelerate.commands.launch", "--config_file", str(accelerate_config("fsdp2_8")), "--num_processes", "2",
              "--mixed_precision", "no", "--main_process_port", "0"],
}  # fmt: skip


@pytest.fixture(scope="module")
def pictures_and_text(data, tmp_path_factory) -> Path:
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    for row in rows:
        row["media"][0]["path"] = str(data.parent / row["media"][0]["path"])
    for row in rows[::2]:
        row["messages"][0]["content"], row["media"] = "How many jumps?", []
    path = tmp_path_factory.mktemp("mixed") / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory, start, pictures_and_text) -> Path:
    output = tmp_path_factory.mktemp("alone")
    train(distributed_stage(), output, start, {"pictures": pictures_and_text})
    return run_folder(output, 1, "full", "mini")


def launch(layout: str, output: Path, *places: Path) -> Path:
    """Run `two_processes.py` to its end."""
    script = [str(Path(__file__).with_name("two_processes.py")), layout, str(output), *map(str, places)]
    paths = os.pathsep.join((str(ROOT), str(ROOT / "notebooks")))
    hidden = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    device = {"ACCELERATE_TORCH_DEVICE": "cpu"} if layout == "fsdp2" else {"ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", *LAUNCHERS[layout], *script]
    done = subprocess.run(command, env=os.environ | hidden | device, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return output


@pytest.fixture(scope="module")
def replicated(tmp_path_factory, start, pictures_and_text) -> Path:
    return launch("ddp", tmp_path_factory.mktemp("replicated"), start, pictures_and_text)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory, start, pictures_and_text) -> Path:
    return launch("fsdp2", tmp_path_factory.mktemp("sharded"), start, pictures_and_text)


@pytest.mark.parametrize("layout", ["replicated", "sharded"])
def test_two_processes_train_what_one_does(alone, layout, request):
    folder = run_folder(request.getfixturevalue(layout), 1, "full", "mini")
    assert len(losses(alone)) == 4 and losses(folder) == pytest.approx(losses(alone), abs=1e-4)
    theirs, ours = (LlavaOnevision2ForConditionalGeneration.from_pretrained(run / "model") for run in (folder, alone))
    for (name, tensor), expected in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True):
        torch.testing.assert_close(tensor, expected, atol=1e-4, rtol=0, msg=lambda text, name=name: f"{name}: {text}")
    assert not (folder / "checkpoints").exists()


def test_sharded_adapters_in_bfloat16(tmp_path, start, pictures_and_text, sharded):
    train(distributed_stage("lora", precision="bf16"), tmp_path, start, {"pictures": pictures_and_text})
    one, two = (run_folder(output, 1, "lora", "mini") for output in (tmp_path, sharded))
    assert losses(two) == pytest.approx(losses(one), abs=0.01)
    assert any(torch.tensor(loss, dtype=torch.bfloat16).item() != loss for loss in losses(two)), "losses are rounded"
    model, _ = load_start(start)
    adapted = load_adapter(model, two / "adapter")  # it names the base's weights
    assert any(tensor.abs().max() > 0 for name, tensor in adapted.named_parameters() if "lora_B" in name)


def test_a_bin_without_images_is_among_those_trained_on(alone):
    samples = [json.loads(line) for line in (alone / "data" / "samples.jsonl").read_text().splitlines()]
    bins = json.loads((alone / "data" / "plan.json").read_text())["bins"]
    assert {any(samples[number]["media"] for number in bin) for bin in bins} == {True, False}

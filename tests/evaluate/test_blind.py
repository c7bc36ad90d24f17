"""The blind arm: pixels become zeros at the model's door, everything else passes, and the result file says so."""

import subprocess
import sys
from pathlib import Path

import pytest

from ov2lib.errors import EvaluationError
from ov2lib.evaluate import blind, lmms_eval


def test_marking_adds_one_argument_and_keeps_the_rest():
    (command,) = lmms_eval.commands("JumpScore", blind=True)
    arguments = list(command.argv[5:])
    marked = blind.mark(arguments)
    changed = [(a, b) for a, b in zip(arguments, marked, strict=True) if a != b]
    assert len(changed) == 1 and changed[0][1] == changed[0][0] + ",blind=True"


@pytest.mark.parametrize("arguments", [[], ["--model", "qwen3_vl", "--model_args", "a=1"], ["--model", "llava_onevision2"]])
def test_only_this_wrapper_can_be_blinded(arguments):
    with pytest.raises(EvaluationError, match="llava_onevision2"):
        blind.mark(arguments)


def test_eyes_are_shut_and_nothing_else():
    torch = pytest.importorskip("torch")

    class Model(torch.nn.Module):
        def forward(self, **inputs):
            return inputs

    model = Model()
    blind.shut_eyes(model)
    inputs = {"pixel_values": torch.ones(4, 588, dtype=torch.bfloat16), "patch_positions": torch.arange(12)}
    seen = model(**inputs)
    assert not seen["pixel_values"].any() and seen["pixel_values"].dtype == torch.bfloat16
    assert seen["pixel_values"].shape == (4, 588)
    assert torch.equal(seen["patch_positions"], inputs["patch_positions"])
    assert inputs["pixel_values"].all()
    assert model(input_ids=1) == {"input_ids": 1} and model(pixel_values=None) == {"pixel_values": None}


STUB_WRAPPER = """
class Tensor(list):
    shape = property(len)
    def new_zeros(self, shape): return Tensor([0] * shape)
class Model:
    def register_forward_pre_hook(self, hook, with_kwargs): self.hook = hook
    def __call__(self, **kwargs):
        if hasattr(self, "hook"): _, kwargs = self.hook(self, (), kwargs)
        return kwargs
class Llava_OneVision2:
    def __init__(self, pretrained, **kwargs):
        self.model, self.left = Model(), kwargs
"""
STUB_MAIN = """
import sys
from lmms_eval.models.chat.llava_onevision2 import Llava_OneVision2, Tensor
assert __name__ == "__main__"
pairs = dict(p.split("=") for p in sys.argv[sys.argv.index("--model_args") + 1].split(","))
wrapper = Llava_OneVision2(**pairs)
print(sys.argv[0], sorted(wrapper.left), wrapper.model(pixel_values=Tensor([1, 2, 3]), time_tag=7))
"""


def test_the_launcher_runs_lmms_eval_itself(tmp_path):
    chat = tmp_path / "lmms_eval" / "models" / "chat"
    chat.mkdir(parents=True)
    for folder in (chat, chat.parent, chat.parent.parent):
        (folder / "__init__.py").touch()
    (chat / "llava_onevision2.py").write_text(STUB_WRAPPER)
    (tmp_path / "lmms_eval" / "__main__.py").write_text(STUB_MAIN)
    root = Path(blind.__file__).parents[2]
    arguments = ["--model", "llava_onevision2", "--model_args", "pretrained=x,fps=1", "--tasks", "JumpScore"]
    done = subprocess.run(
        [sys.executable, "-m", "ov2lib.evaluate.blind", *arguments],
        env={"PYTHONPATH": f"{tmp_path}:{root}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().endswith("['fps'] {'pixel_values': [0, 0, 0], 'time_tag': 7}")

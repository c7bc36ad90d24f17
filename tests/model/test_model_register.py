"""`import ov2lib` is light, and transformers' Auto classes know the model after `import ov2lib.model`, in any order."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from model_cases import TINY

ROOT = Path(__file__).parents[2]


def python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_base_import_brings_no_framework():
    heavy = python(
        "import ov2lib, sys; print(*[m for m in ('torch', 'transformers', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    assert heavy == ""


@pytest.mark.parametrize(
    "imports",
    [
        "import ov2lib.model\nfrom transformers import AutoProcessor, AutoModelForImageTextToText",
        "from transformers import AutoModelForImageTextToText, AutoProcessor\nimport ov2lib.model",
        "import ov2lib.model\nfrom transformers import Qwen2_5_VLModel, AutoModelForImageTextToText, AutoProcessor",
    ],
)
def test_auto_classes_open_folders(imports, processor, tmp_path):
    processor.save_pretrained(tmp_path)
    model = f"type(AutoModelForImageTextToText.from_pretrained({str(TINY)!r})).__module__"
    prompts = f"type(AutoProcessor.from_pretrained({str(tmp_path)!r})).__module__"
    assert python(f"{imports}\nprint({prompts}, {model})") == "ov2lib.model.processing ov2lib.model.modeling"

"""The examples in the docstrings of the library do what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted((ROOT / "ov2lib").rglob("*.py"))]
WITH_EXAMPLES = [name for name in NAMES if ">>> " in (ROOT / f"{name.replace('.', '/')}.py").read_text()]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert result.attempted and not result.failed

"""Make transformers' Auto classes know the model after a plain `import ov2lib`, without importing transformers for it.

Registering takes transformers and torch, about three seconds, which `import ov2lib` and `ov2 --help` should not cost
(0.15 s). So a finder waits for the two modules that hold `AutoModelForImageTextToText` and `AutoProcessor`, and imports
`ov2lib.model`, which registers, right after one of them; where one imports the other, after the outer one, which is whole
only then. If they are loaded already, `ov2lib.model` is imported at once.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys

AUTO_MODULES = ("transformers.models.auto.modeling_auto", "transformers.models.auto.processing_auto")
OLDEST = (5, 20)  # transformers, as in pyproject.toml; an older one is left as it is


class _AfterAuto(importlib.abc.MetaPathFinder):
    """Finds the two modules as Python would, and adds the import of `ov2lib.model` to their execution."""

    def __init__(self):
        self.running = 0  # of the two, how many are being executed

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in AUTO_MODULES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module):
            self.running += 1
            try:
                execute(module)
            finally:
                self.running -= 1
            if not self.running:
                _register()

        spec.loader.exec_module = execute_and_register
        return spec


def _register() -> None:
    version = sys.modules["transformers"].__version__
    if tuple(int(part) for part in version.split(".")[:2]) >= OLDEST:
        importlib.import_module("ov2lib.model")


def install() -> None:
    """Register now or as soon as the Auto classes are imported; does nothing where torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return
    if any(name in sys.modules for name in AUTO_MODULES):
        _register()
    elif not any(isinstance(finder, _AfterAuto) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterAuto())

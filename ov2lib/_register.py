"""Make transformers' Auto classes know the model after a plain `import ov2lib`, without importing transformers for it.

Registering takes transformers and torch, about three seconds, which `import ov2lib` and `ov2 --help` should not cost
(0.15 s). So a finder waits until one of the two modules that hold `AutoModelForImageTextToText` and `AutoProcessor` is
imported, and then imports `ov2lib.model`, which registers. It does so once the outermost import of transformers' modules is
done: these import each other in circles, and only then is none of them half made. If transformers' Auto classes are loaded
already, `ov2lib.model` is imported at once.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys

AUTO_MODULES = ("transformers.models.auto.modeling_auto", "transformers.models.auto.processing_auto")
OLDEST = (5, 20)  # transformers, as in pyproject.toml; an older one is left as it is


class _AfterAuto(importlib.abc.MetaPathFinder):
    """Finds transformers' modules as Python would, and counts how many are being executed."""

    def __init__(self):
        self.running = 0

    def find_spec(self, fullname, path=None, target=None):
        if not fullname.startswith("transformers."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = self._watched(spec.loader.exec_module)
        return spec

    def _watched(self, execute):
        def execute_and_register(module):
            self.running += 1
            try:
                execute(module)
            finally:
                self.running -= 1
            if not self.running and self in sys.meta_path and _auto_is_loaded():
                sys.meta_path.remove(self)
                _register()

        return execute_and_register


def _auto_is_loaded() -> bool:
    return any(name in sys.modules for name in AUTO_MODULES)


def _register() -> None:
    version = sys.modules["transformers"].__version__
    if tuple(int(part) for part in version.split(".")[:2]) >= OLDEST:
        importlib.import_module("ov2lib.model")


def install() -> None:
    """Register now or as soon as the Auto classes are imported; does nothing where torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return
    if _auto_is_loaded():
        _register()
    elif not any(isinstance(finder, _AfterAuto) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterAuto())

"""How `pytest --nbval` reads the notebooks: every cell must run, and print again what is committed, except in those named LAX.

Outputs that differ between machines without meaning anything (warnings, HTML tables, pictures, widgets) are never compared.
Figures go to a scratch folder, so that a test leaves the committed ones alone; kernels find this clone's library, installed
or not, and train a few steps only, in a folder of their own (`kit.school.lessons`).
"""

import os
import tempfile
from pathlib import Path

import pytest

# These train models, whose last digits differ between processors: they only have to run and pass their own asserts.
LAX = ("07", "08", "09", "10", "16", "19")


def pytest_configure():
    os.environ.setdefault("OV2_FIGURES", os.path.join(tempfile.gettempdir(), "ov2-figures"))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads do not take a core from other workers
    here = Path(__file__).parent
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(here.parent), str(here), os.environ.get("PYTHONPATH")]))


def pytest_collectstart(collector):
    if collector.path.suffix == ".ipynb":
        collector.compare_outputs = collector.path.name[:2] not in LAX
        collector.skip_compare += ("stderr", "text/html", "image/svg+xml")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Kernels start here; other tests of the session train as they say themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OV2_MAX_STEPS", "2")
        return (yield)

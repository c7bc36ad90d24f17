"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest
import zoo
from hypothesis import settings

ROOT = Path(__file__).parents[1]

settings.register_profile("steady", deadline=None, derandomize=True)  # the same cases on every run, fast machine or slow
settings.load_profile("steady")


def pytest_configure():
    """Processes that tests start (kernels, `ov2`) find this clone's library from any folder, installed or not."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "notebooks"), os.environ.get("PYTHONPATH")]))


@pytest.fixture(scope="session")
def specimen(tmp_path_factory):
    """`specimen(name)` is that animal of the zoo, made once per session."""
    made = {}

    def get(name: str) -> zoo.Specimen:
        if name not in made:
            made[name] = zoo.make(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(scope="session", autouse=True)
def clip_cache(tmp_path_factory):
    """Synthetic clips of this session go into a temporary cache, shared by all its workers, unless OV2_CACHE is set."""
    with pytest.MonkeyPatch.context() as patch:
        if "OV2_CACHE" not in os.environ:
            base = tmp_path_factory.getbasetemp()
            patch.setenv("OV2_CACHE", str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "clips"))
        yield

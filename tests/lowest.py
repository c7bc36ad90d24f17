"""Constraints for `make test-lowest`: `python tests/lowest.py` prints each direct requirement at its lower bound.

torch stays at the version of constraints.txt, the only one that we build with.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOWER_BOUND = re.compile(r"([A-Za-z0-9_.-]+)>=([0-9.]+)")


def lowest() -> dict[str, str]:
    """Name of each requirement of the `dev` environment -> its lowest version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    versions = {}
    for requirement in sum(groups, []):
        if match := LOWER_BOUND.match(requirement):
            versions[match[1]] = match[2]
    versions["torch"] = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    return versions


if __name__ == "__main__":
    for name, version in lowest().items():
        print(f"{name}=={version}")

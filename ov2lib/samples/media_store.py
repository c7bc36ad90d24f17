"""Media out of shards and datasets, kept under a name made of their content."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

from ..files import whole_file


def keep(content: Any, folder: Path, suffix: str) -> Path:
    """The file under `folder` that holds `content`, named by its SHA-256 and `suffix`; written if it is not there yet.

    Args:
        content: seekable, at its start.

    Raises:
        Ov2Error: as `whole_file`.
    """
    digest = hashlib.file_digest(content, "sha256").hexdigest()
    path = folder / digest[:2] / f"{digest}{suffix}"  # 256 folders, so that none holds millions of files
    if not path.is_file():
        content.seek(0)
        with whole_file(path) as file:
            shutil.copyfileobj(content, file)
    return path

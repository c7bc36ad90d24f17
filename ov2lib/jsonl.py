"""Lines of JSONL files: one JSON object each, in UTF-8."""

import codecs
import os
from collections.abc import Iterator


def numbered_lines(path: str | os.PathLike) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and text of every line that is not blank, without the byte-order mark that Windows editors write.

    Raises:
        OSError: the file cannot be read.
        UnicodeError: it is UTF-16 or UTF-32, where lines do not end where bytes say so.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1 and (line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in line[:4]):
                raise UnicodeError("it is UTF-16 or UTF-32; save it as UTF-8, such as with iconv -f UTF-16 -t UTF-8")
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield number, line

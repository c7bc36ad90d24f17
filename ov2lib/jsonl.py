"""Lines of JSONL files: one JSON object each, in UTF-8."""

import codecs
import os
import re
from collections.abc import Iterator

# UTF-16 and UTF-32 by their marks, or by where ASCII letters have NULs in them; a line that begins with NULs is just damaged.
WIDE = re.compile(rb"\xff\xfe|\xfe\xff|\0\0\0[^\0\n]|\0[^\0\n]\0[^\0]|[^\0]\0[^\0]\0|[^\0]\0\0\0")


def numbered_lines(path: str | os.PathLike) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and text of every line that is not blank, without the byte-order mark that Windows editors write.

    Raises:
        OSError: the file cannot be read.
        UnicodeError: it is UTF-16 or UTF-32, where lines do not end where bytes say so.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1 and WIDE.match(line):
                raise UnicodeError("it is UTF-16 or UTF-32; save it as UTF-8, such as with iconv -f UTF-16 -t UTF-8")
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield number, line

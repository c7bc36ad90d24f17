"""Packets taken apart: bits, units of H.264, HEVC and AV1, pictures of VP9; and what a packet says of itself."""

import re
from collections.abc import Iterator
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

SIZE_BYTES = 8  # published: of a unit's size at most (4.10.5 of the AV1 specification); more would cost quadratic time


class Header(NamedTuple):
    """What one packet says.

    kind: "I", "P", "B" or "?"; reference: later pictures may need it; shown: it yields a frame of its own; clean: decoding
    may start here (None: trust the key flag); field: (frame number, is bottom) of a packet that is one field of a frame;
    hidden: (packets back, bytes) of a picture that came hidden in an earlier packet and is shown by this one; leaf: a packet
    that later ones need, but not for the picture that it shows.
    """

    kind: str = "?"
    reference: bool = True
    shown: bool = True
    clean: bool | None = None
    field: tuple[int, bool] | None = None
    hidden: tuple[int, int] | None = None
    leaf: bool = False


class Bits:
    """Reads a bit string from its front; behind its end it reads zeros."""

    def __init__(self, data: bytes):
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        """The next `count` bits as an unsigned number, u(n)."""
        self._left -= count
        value = self._value >> self._left if self._left >= 0 else self._value << min(-self._left, count)
        return value & ((1 << count) - 1)

    def golomb(self) -> int:
        """The next Exp-Golomb code, ue(v); 0 where there is none."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 32:
                return 0
        return (1 << zeros) - 1 + self.read(zeros)


def nal_units(data: memoryview, length_size: int) -> Iterator[tuple[int, int]]:
    """(offset, end) of each NAL unit: length-prefixed (MP4, MKV) or between start codes (TS, raw)."""
    if length_size:
        at = 0
        while at + length_size < len(data):
            start = at + length_size
            at = start + int.from_bytes(data[at:start], "big")
            if at > start:
                yield start, min(at, len(data))
        return
    codes = (code.start() for code in re.finditer(b"\0\0\1", data))
    yield from ((at + 3, end) for at, end in pairwise(chain(codes, [len(data)])) if at + 3 < end)


def superframe(data: bytes) -> list[int]:
    """Where each picture of a VP9 packet ends (annex B of the specification)."""
    if data[-1] >> 5 == 0b110:
        count, width = (data[-1] & 7) + 1, (data[-1] >> 3 & 3) + 1
        index = data[-2 - count * width :]
        if index[0] == data[-1]:
            return list(accumulate(int.from_bytes(index[i : i + width], "little") for i in range(1, 1 + count * width, width)))
    return [len(data)]


def obus(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(type, start, end) of each open bitstream unit of an AV1 packet, headers included."""
    at = 0
    while at < len(data):
        start, first = at, data[at]
        at += 2 if first & 4 else 1
        size = len(data) - at
        if first & 2:
            size = 0
            for shift in range(0, 7 * SIZE_BYTES, 7):
                byte, at = data[at], at + 1
                size |= (byte & 127) << shift
                if byte < 128:
                    break
        at = min(at + size, len(data))
        yield first >> 3 & 15, start, at

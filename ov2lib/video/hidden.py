"""Packets of VP9 and AV1, in which pictures may travel hidden: others are predicted from them, and a later packet of a few
bytes shows them. The bytes of such a picture count to the frame as which it is shown.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

from .bitstream import Bits, Header, obus, superframe

ALL = 255  # a mask of the eight places in which a decoder keeps pictures
HEAD = 128  # assumed: bytes of an AV1 unit that hold what is read here
KEY, INTRA, SWITCH = 0, 2, 3  # published: frame types of AV1; 1 is predicted
UNDECIDED = 2  # published: each frame of AV1 says whether the tool is used


@dataclass
class _Picture:
    """A decoded picture: number of its packet, kind, whether a key frame, bytes that were not shown yet."""

    packet: int
    kind: str
    key: bool = False
    size: int = 0


class _Reader(ABC):
    """Reads packets of one codec, and remembers which pictures the decoder keeps."""

    def __init__(self, extradata: bytes = b""):
        self.number, self.places = -1, [_Picture(-1, "P")] * 8

    def __call__(self, data: memoryview) -> Header:
        self.number += 1
        try:
            return self.read(bytes(data)) if len(data) else Header()
        except IndexError:
            return Header()  # damaged

    @abstractmethod
    def read(self, data: bytes) -> Header:
        """What one packet says."""

    def store(self, picture: _Picture, mask: int) -> None:
        """Put a picture in the places of `mask`."""
        self.places = [picture if mask >> i & 1 else old for i, old in enumerate(self.places)]

    def bring_out(self, picture: _Picture) -> tuple[int, int] | None:
        """What `Header.hidden` says of a packet that shows this picture."""
        size, picture.size = picture.size, 0
        return (self.number - picture.packet, size) if size and self.number > picture.packet else None


class Vp9(_Reader):
    """VP9 (6.1 and 7.2 of its specification). Of a superframe, several pictures of which the last is shown, the first one's
    kind is read."""

    def read(self, data: bytes) -> Header:
        ends = superframe(data)
        headers = [self._picture(data[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
        if data[-1] >> 5 != 0b110:
            return headers[0]
        return Header(headers[0].kind, hidden=next((h.hidden for h in headers if h.hidden), None))

    def _picture(self, data: bytes) -> Header:
        # 1. Frame marker and profile, which has a third bit if it is 3
        bits = Bits(data[:16])
        profile = bits.read(4) & 3
        bits.read(1 if profile == 3 else 0)
        # 2. Whether a picture that was decoded before is shown
        if bits.read(1):
            return Header("P", False, hidden=self.bring_out(self.places[bits.read(3)]))
        # 3. Else what it is, and the places it takes; if intra, other profiles say more before that
        predicted, shown, resilient = bits.read(1), bits.read(1), bits.read(1)
        intra = bits.read(1) if predicted and not shown else 0
        bits.read((0 if resilient else 2) + 24 * intra)
        mask = ALL
        if predicted:
            mask = 0 if intra and profile else bits.read(8)
        picture = _Picture(self.number, "P" if predicted else "I", size=0 if shown else len(data))
        self.store(picture, mask)
        # 4. A later picture needs its pixels, or else its vectors, segments and probabilities, but for resilient streams
        return Header(picture.kind, bool(mask or not shown or not resilient), bool(shown))


class _Sequence(NamedTuple):
    """What an AV1 sequence header says that frame headers depend on: tools for screens, whole vectors, bits of the order."""

    screen: int
    whole: int
    order: int


class Av1(_Reader):
    """AV1 (5.5 and 5.9 of its specification): a packet holds all pictures up to one that is shown."""

    def __init__(self, extradata: bytes):
        super().__init__()
        self.sequence: _Sequence | None = None
        if extradata[:1] == b"\x81":  # an av1C box, with the sequence header inside
            self(memoryview(extradata)[4:])
            self.number = -1

    def read(self, data: bytes) -> Header:
        pictures, reference, hidden, receiver, leaf = [], False, None, None, False
        for unit, start, end in obus(data):
            bits = _payload(data[start : min(end, start + HEAD)])
            if unit == 1:
                self.sequence = _sequence(bits)
            elif unit in (3, 6):
                if self.sequence is None:
                    return Header()
                # 1. A frame header shows a picture that is there already, or begins a new one
                if bits.read(1):
                    picture, receiver, reference, leaf = self.places[bits.read(3)], None, True, False
                    hidden = self.bring_out(picture) or hidden
                    self.store(picture, ALL if picture.key else 0)
                else:
                    picture, shown, mask = self._frame(bits, self.sequence)
                    receiver, reference, leaf = None if shown else picture, reference or mask > 0, not mask
                    self.store(picture, mask)
                pictures.append(picture)
            # 2. Bytes of a hidden picture: its headers, and groups of its tiles
            if unit in (3, 4, 6) and receiver:
                receiver.size += end - start
        if not pictures:
            return Header()
        kind = "I" if any(p.key for p in pictures) else pictures[-1].kind
        return Header(kind, reference, hidden=hidden, leaf=reference and leaf)

    def _frame(self, bits: Bits, sequence: _Sequence) -> tuple[_Picture, bool, int]:
        """A new picture, whether it is shown at once, and the places that it takes."""
        # 1. Type and visibility
        kind, shown = bits.read(2), bits.read(1)
        bits.read(0 if shown else 1)
        alone = kind == SWITCH or (kind == KEY and shown)  # takes all places
        resilient = alone or bits.read(1)
        # 2. Tools, size and order
        bits.read(1)
        screen = bits.read(1) if sequence.screen == UNDECIDED else sequence.screen
        bits.read(1 if screen and sequence.whole == UNDECIDED else 0)
        bits.read((0 if kind == SWITCH else 1) + sequence.order)
        # 3. The picture whose probabilities it begins with, and its places
        bits.read(0 if resilient or kind in (KEY, INTRA) else 3)
        picture = _Picture(self.number, "I" if kind in (KEY, INTRA) else "P", kind == KEY)
        return picture, bool(shown), ALL if alone else bits.read(8)


def _payload(unit: bytes) -> Bits:
    """The bits of an open bitstream unit behind its header."""
    bits = Bits(unit)
    flags = bits.read(8)
    bits.read(8 if flags & 4 else 0)
    while flags & 2 and bits.read(8) >= 128:  # its size
        pass
    return bits


def _sequence(bits: Bits) -> _Sequence | None:
    """What a sequence header says; None for stills, and where frames have numbers or times of their own (not read here)."""
    # 1. Profile, time base
    bits.read(3 + 1)
    if bits.read(1):
        return None
    if bits.read(1):
        bits.read(64)
        if bits.read(1):
            bits.golomb()
        if bits.read(1):
            return None
    # 2. Operating points
    delays = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if delays and bits.read(1):
            bits.read(4)
    # 3. Size
    width, height = bits.read(4) + 1, bits.read(4) + 1
    bits.read(width + height)
    if bits.read(1):
        return None
    # 4. Tools
    bits.read(3 + 4)
    ordered = bits.read(1)
    bits.read(2 * ordered)
    screen = UNDECIDED if bits.read(1) else bits.read(1)
    whole = UNDECIDED
    if screen and not bits.read(1):
        whole = bits.read(1)
    return _Sequence(screen, whole, bits.read(3) + 1 if ordered else 0)

"""Which frame each packet of a stream belongs to, and when it is shown.

Headers and time stamps settle that for nearly every file, without decoding. Where they do not (bare streams, AVI, damage,
times in decode order, equal times), one quick pass of the decoder says which packet is shown when (`shown_order`).
"""

import os
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain

import av
import numpy as np

from ..errors import VideoError
from .bitstream import Header
from .damage import AGAIN, Damage
from .headers import header_reader
from .packets import Packets
from .stream import LIMITS, coded_packets, decode_packet, open_video

MAX_PACKETS = 1 << 22  # assumed: 19 hours at 60 frames per second
MAX_SECONDS = 7 * 24 * 3600  # assumed: time stamps that span more than a week are damaged
MAX_REORDER = 64  # published: H.264 and HEVC hold back at most 16 frames, 32 fields; farther out of order is damage
TINY = 16  # assumed: bytes up to which an MPEG-4 picture may be one that is not coded and not shown
RETIME = "write new times: `ffmpeg -i IN -vf setpts=N/FRAME_RATE/TB OUT.mp4`"
STARTS_ANYWHERE = ("h264", "hevc", "vvc", "av1")  # their decoders show nothing that lacks what it refers to
OPENS = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4")  # published: but for leading pictures, nothing refers across keys
NEEDS_HEAD = ("gif", "apng")  # their decoders start at the first packet only; so do those of pictures with a palette
ORDERED_FORMATS = ("mov", "matroska", "mpegts", "mpeg", "flv", "ogg", "nut", "ivf", "obu")  # whose times are for presentation
_UNKNOWN = np.iinfo(np.int64).min
COLUMNS = {
    "pts": "i8", "dts": "i8", "duration": "i8", "size": "i8", "key": "?", "dropped": "?", "corrupt": "?",
    "kind": "U1", "reference": "?", "shown": "?", "clean": "?", "field": "i8",
    "back": "i8", "hidden": "i8", "leaf": "?",
}  # fmt: skip


def list_packets(container, stream, demuxed: Iterable[av.Packet], damage: Damage) -> Packets:
    """The packets of an open stream.

    A recording that merely ends early is read as far as it goes.

    Args:
        demuxed: all packets of the stream that hold data.
        damage: receives damage that the container shows.

    Raises:
        VideoError: no packets, no key frame to start from, nothing that is ever shown, or times that span more than a week.
    """
    listing = _Listing(container, stream, damage)
    listing.read(demuxed)
    return listing.packets()


def _row(packet: av.Packet, header: Header) -> tuple:
    """One packet as `COLUMNS`; dropped: the container says not to show it; field: 2 · frame number + is bottom, or -1.

    back, hidden: `Header.hidden`, zeros for none.
    """
    key = packet.is_keyframe and (header.kind in "?I" or header.clean is not None)
    clean = key if header.clean is None else key and header.clean
    kind = "I" if key and header.kind == "?" else header.kind
    field = -1 if header.field is None else 2 * header.field[0] + header.field[1]
    times = (_UNKNOWN if time is None else time for time in (packet.pts, packet.dts))
    state = packet.size, key, packet.is_discard, packet.is_corrupt
    reference = header.reference or (key and header.kind == "?")  # joined streams: the first unit may be of another codec
    return (
        *times,
        packet.duration or 0,
        *state,
        kind,
        reference,
        header.shown,
        clean,
        field,
        *(header.hidden or (0, 0)),
        header.leaf,
    )


class _Listing:
    """What was read of the packets, on its way to `Packets`."""

    def __init__(self, container, stream, damage: Damage):
        context = stream.codec_context
        self.container, self.codec, self.stream, self.damage = (
            container.format.name,
            context.codec.canonical_name,
            stream,
            damage,
        )
        self.reorders, self.time_base = context.has_b_frames, stream.time_base  # decoding may change the first
        self.step = max(1, round(1 / ((stream.guessed_rate or 25) * self.time_base)))  # ticks from frame to frame

    def read(self, demuxed: Iterable[av.Packet]) -> None:
        """Take down every packet."""
        read_header = header_reader(self.codec, self.stream.codec_context.extradata)

        def rows():
            for number, packet in enumerate(demuxed):
                if number >= MAX_PACKETS:
                    raise VideoError(self.damage.path, f"has over {MAX_PACKETS} packets", "split it first")
                yield _row(packet, read_header(memoryview(packet)))

        table = np.fromiter(rows(), list(COLUMNS.items()))
        if not len(table):
            raise VideoError(self.damage.path, "no video packet can be read from it (truncated?)", AGAIN)
        self.row = {name: table[name].copy() for name in COLUMNS}

    def packets(self) -> Packets:
        """The packets with their order and times; what does not fit is reported to `damage`."""
        row, path, number = self.row, self.damage.path, np.arange(len(self.row["size"]))
        key, pts, dts = self._keys(), row["pts"], row["dts"]
        # 1. What headers and times say
        if not key.any() and self.codec not in STARTS_ANYWHERE:
            raise VideoError(path, "there is no key frame to start decoding from", AGAIN)
        first = int(np.argmax(key)) if key.any() else len(key)
        second = _second_fields(row["field"])
        shown = row["shown"] & ~row["dropped"] & ~second
        if not self.reorders:
            pts = np.where(pts == _UNKNOWN, dts, pts)
        if row["corrupt"].any():
            self.damage.of_file(f"is damaged or truncated at packet {int(np.argmax(row['corrupt']))}", AGAIN)
        # 2. Where they do not settle it, what the decoder shows
        known = bool((pts[shown] != _UNKNOWN).all())
        rank, stop = (pts if known else number), self._in_doubt(pts, shown, first)
        if not stop or self.codec not in STARTS_ANYWHERE:
            self._leave_out(shown[:first])
        if stop:
            decoded = shown_order(path, self.stream.index, len(pts), stop)
            shown &= (decoded >= 0) | (number >= stop)
            rank = np.where(number < stop, decoded, stop + np.argsort(np.argsort(rank, kind="stable")))
        if not shown.any():
            cause = "no frame can be decoded from it" if key.any() else "there is no key frame to start decoding from"
            raise VideoError(path, cause, AGAIN)
        # 3. The frames in the order in which they are shown, and their times
        place = np.flatnonzero(shown)
        place = place[np.argsort(rank[place], kind="stable")]
        stored = known and not (self.container == "avi" and self.reorders) and bool((np.diff(pts[place]) >= 0).all())
        times = pts[place] if stored else self._times(pts, dts, key, place)
        if self._seconds(times) > MAX_SECONDS:
            times, stored = self._without_jump(times), False
        if self._seconds(times) > MAX_SECONDS:
            raise VideoError(path, f"its time stamps span more than {MAX_SECONDS // 3600} hours", RETIME)
        pts, frame = pts.copy(), np.full(len(pts), -1)
        pts[place], frame[place] = times, np.arange(len(place))
        # 4. Where decoding may start
        start = first if first <= place.min() else 0
        clean = row["clean"] & (_closed(frame, shown) & shown if stop else _closed(pts, shown))
        if self.codec in OPENS:
            clean |= _opens(frame, row["clean"] & shown)
        clean &= self.codec not in NEEDS_HEAD and self.stream.codec_context.pix_fmt != "pal8"
        clean[start], clean[:start] = True, False
        # 5. The second field of a frame, and how long the last frame stays: two fields say half of it, or all
        for column in (pts, frame):
            column[second] = column[np.flatnonzero(second) - 1]
        last = np.flatnonzero(frame == frame.max())
        stays = float(int(row["duration"][last[0]]) * self.time_base) if len(last) == 1 else 0.0
        return Packets(
            pts=pts, dts=np.where(dts == _UNKNOWN, pts, dts), size=row["size"], key=key,
            kind=row["kind"], reference=row["reference"] & ~row["leaf"], needed=row["reference"], clean=clean,
            frame=frame, owner=_owner(frame, hidden=~row["shown"] & (number > start)), share=self._shares(),
            time_base=float(self.time_base), last_duration=stays if 0 < stays <= MAX_SECONDS else 0.0, ordered=stored,
        )  # fmt: skip

    def _shares(self) -> np.ndarray:
        """Bytes of each packet, those of hidden pictures moved to the packets that show them."""
        share, moved = self.row["size"].copy(), self.row["hidden"]
        shows = np.flatnonzero((moved > 0) & (self.row["back"] <= np.arange(len(moved))))
        np.subtract.at(share, shows - self.row["back"][shows], moved[shows])
        share[shows] += moved[shows]
        return share

    def _keys(self) -> np.ndarray:
        """The key flags. Where no packet has one (SWF, RoQ) the pictures' headers say, and where those are not read the first
        packet is taken for one."""
        key, kind = self.row["key"], self.row["kind"]
        if key.any() or self.codec in STARTS_ANYWHERE:
            return key
        if (kind == "?").all():
            kind[0] = "I"
        return kind == "I"

    def _leave_out(self, shown: np.ndarray) -> None:
        """Show none of the frames before the first key frame: their decoder makes pictures of them that are mostly grey."""
        if shown.any():
            count, them = int(shown.sum()), "are" if shown.sum() > 1 else "is"
            cause = f"{count} frame{'s' * (count > 1)} before the first key frame cannot be decoded rightly and {them} left out"
            self.damage.of_file(f"{cause}, the first near 0.00 s", AGAIN)
        shown[:] = False

    def _in_doubt(self, pts: np.ndarray, shown: np.ndarray, first: int) -> int:
        """How many packets from the first on a decoder must see to say which are shown, and when; 0 for none."""
        # 1. Damage, missing times, and pictures that may be left out
        row, whole = self.row, len(pts)
        shown = shown & (np.arange(whole) >= first)
        times, kinds = pts[shown], set(row["kind"][shown])
        missing = (times == _UNKNOWN).any()
        skips = self.codec == "mpeg4" and ((row["size"] <= TINY) & ~row["key"]).any()
        if row["corrupt"].any() or self.codec == "gif" or not shown.any() or skips or (missing and self.reorders):
            return whole
        # 2. Times in decode order, although pictures change places
        if self.reorders and len(times) > 1:
            named = "?" not in kinds or not set(ORDERED_FORMATS).isdisjoint(self.container.split(","))
            may_reorder = "B" in kinds or not named
            if self.container == "avi" or (may_reorder and (np.diff(times) >= 0).all()):
                return whole
        if missing:
            return 0
        # 3. Equal times, and times farther out of order than a codec allows
        order = np.argsort(times, kind="stable")
        if (np.diff(times[order]) == 0).any() or np.abs(order - np.arange(len(order))).max() > MAX_REORDER:
            return whole
        # 4. Pictures shown before the first key frame: only up to the next clean one
        early = np.flatnonzero(shown & ~row["key"] & (pts < pts[first])) if self.codec != "hevc" else ()
        if len(early) or (first and self.codec in STARTS_ANYWHERE):
            doubtful = max([first, *early])
            closed = row["clean"] & _closed(pts, shown) & (np.arange(whole) >= doubtful)
            return int(np.argmax(closed)) if closed.any() else whole
        return 0

    def _seconds(self, times: np.ndarray) -> Fraction:
        """From the first to the last of some times; as whole numbers of any size, since those of a damaged file are."""
        return (int(times[-1]) - int(times[0])) * self.time_base

    def _without_jump(self, times: np.ndarray) -> np.ndarray:
        """Ascending times without their longest gap, if it is over a week, as where a camera's clock is set in between."""
        at = int(np.argmax(np.diff(times))) + 1
        gap = self._seconds(times[at - 1 : at + 1])
        if gap <= MAX_SECONDS:
            return times
        near = float(self._seconds(times[:at]))
        self.damage.of_file(f"its time stamps jump ahead by {float(gap):.0f} s near {near:.2f} s", RETIME)
        return np.concatenate([times[:at], times[at:] - (int(times[at]) - int(times[at - 1]) - self.step)])

    def _times(self, pts: np.ndarray, dts: np.ndarray, key: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Presentation times of the packets `place`, which stand in the order in which they are shown.

        AVI stores none, so there decode times are shared out; where a time is missing all are counted at the stream's rate.
        Times that the file gives are kept as a set, and those of recordings joined in one file follow each other.
        """
        times = (dts if self.container == "avi" and self.reorders else pts)[place]
        if (times == _UNKNOWN).any():
            return np.arange(len(place)) * self.step
        # 1. Where the next of several recordings begins: far back, or at a key frame
        back = np.flatnonzero(np.diff(times) < 0) + 1
        far = times[back - 1] - times[back] > MAX_REORDER * self.step
        joins = back if (far | key[place[back]]).all() else back[far]
        # 2. Each in ascending order, behind the one before
        parts = [np.sort(part) for part in np.split(times, joins)]
        if len(joins):
            near = float(self._seconds(times[: joins[0]]))
            self.damage.of_file(f"its time stamps jump back near {near:.2f} s (several recordings in one file?)", RETIME)
        for before, part in zip(parts, parts[1:], strict=False):
            part += before[-1] + self.step - part[0]
        return np.concatenate(parts)


def shown_order(path: str | os.PathLike, stream_number: int, count: int, stop: int) -> np.ndarray:
    """int64 [n]: how many pictures the decoder puts out before the one of each packet; -1 for packets without one.

    Only the first `stop` of the `count` packets are decoded.
    """
    # 1. A decoder as fast as can be: the order is the same without transforms and filters
    rank = np.full(count, -1)
    with open_video(path, stream_number) as (container, stream):
        context, out = stream.codec_context, 0
        context.options = LIMITS | {"skip_loop_filter": "all", "skip_idct": "all"}
        context.copy_opaque = True
        # 2. The packets with their numbers, and None for what the decoder still holds
        coded = zip(range(stop), coded_packets(container, stream), strict=False)
        for number, packet in chain(coded, [(stop, None)]):
            if packet is not None:
                packet.opaque = (number,)  # a fresh tuple: equal small numbers get lost in PyAV 18
            for picture in decode_packet(context, packet)[0]:
                if picture.opaque is not None and rank[picture.opaque[0]] < 0:
                    rank[picture.opaque[0]], out = out, out + 1
    return rank


def _second_fields(field: np.ndarray) -> np.ndarray:
    """bool [n]: the packet is the second field of the frame that the packet before it began."""
    second = np.zeros(len(field), bool)
    pairs = (field[1:] ^ field[:-1] == 1) & (field[1:] >= 0)  # the same frame number, the other parity
    for i in np.flatnonzero(pairs) + 1:
        second[i] = not second[i - 1]
    return second


def _owner(frame: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Display index of the frame each packet's bytes count to: a hidden picture's to the next shown one."""
    shown = np.flatnonzero(frame >= 0)
    following = shown[np.minimum(np.searchsorted(shown, np.arange(len(frame))), len(shown) - 1)]
    return np.where(hidden, frame[following], frame)


def _closed(order: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """bool [n]: every shown packet from here on, in decode order, is presented no earlier than this one."""
    later = np.where(shown, order, np.iinfo(np.int64).max)
    return np.minimum.accumulate(later[::-1])[::-1] >= order


def _opens(frame: np.ndarray, key: np.ndarray) -> np.ndarray:
    """bool [n], key frames behind which all leading pictures (decoded later, shown earlier) come before any other picture."""
    out = np.zeros(len(frame), bool)
    later = np.where(frame >= 0, frame, np.iinfo(np.int64).max)
    earliest = np.minimum.accumulate(later[::-1])[::-1]
    for start in np.flatnonzero(key):
        others = np.flatnonzero(frame[start + 1 : start + 2 + MAX_REORDER] > frame[start])
        out[start] = len(others) > 0 and earliest[start + 1 + others[0]] > frame[start]
    return out

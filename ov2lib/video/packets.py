"""The packets of a video stream as a table: sizes, times and types, and which frame each belongs to."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Packets:
    """The video packets of a file in decode order, one array entry each.

    Attributes:
        pts, dts: int64, in ticks of `time_base`.
        size: int64, bytes.
        key: bool, the container's key flag, unless the bitstream contradicts it.
        kind: "I", "P", "B" or "?" (unknown without decoding: not key, of a codec whose headers are not read).
        reference: bool, later pictures may be predicted from the one that it shows.
        needed: bool, later pictures may be predicted from what it holds, such as hidden pictures.
        clean: bool, decoding may start here: what is shown from here on needs nothing before it. Leading pictures, which are
            decoded later and shown earlier, may.
        frame: int64, display index of the frame the packet belongs to (two fields belong to one); -1 for one that is never
            shown.
        owner: int64, display index of the frame that the packet's bytes count to: its own, for a hidden picture that
            others are predicted from the next one in decode order, and -1 for a picture that was cut away.
        share: int64, bytes that count to the packet's frame: a hidden picture's to the packet that shows it.
        time_base: seconds per tick.
        last_duration: seconds that the last frame stays, 0 if the file does not say.
        ordered: the file gives presentation times (else order comes from the decoder, times from its rate).
    """

    pts: np.ndarray
    dts: np.ndarray
    size: np.ndarray
    key: np.ndarray
    kind: np.ndarray
    reference: np.ndarray
    needed: np.ndarray
    clean: np.ndarray
    frame: np.ndarray
    owner: np.ndarray
    share: np.ndarray
    time_base: float
    last_duration: float
    ordered: bool

    def __len__(self) -> int:
        return len(self.size)

    @cached_property
    def frame_packet(self) -> np.ndarray:
        """int64 [T], the (first) packet of each frame in display order."""
        first = np.zeros(int(self.frame.max()) + 1, np.int64)
        shown = np.flatnonzero(self.frame >= 0)[::-1]
        first[self.frame[shown]] = shown
        return first

    @cached_property
    def segment(self) -> np.ndarray:
        """int64 [n], number of the clean packet with which decoding must begin for this one; -1 before the first. A leading
        picture belongs to the segment before."""
        starts = np.flatnonzero(self.clean)
        segment = np.searchsorted(starts, np.arange(len(self)), side="right") - 1
        leading = (self.frame >= 0) & (self.frame < self.frame[starts[segment]]) & (segment > 0)
        return segment - leading

    @cached_property
    def frame_times(self) -> np.ndarray:
        """float64 [T], presentation time in seconds of each frame, the first at 0."""
        ticks = self.pts[self.frame_packet]
        return (ticks - ticks[0]) * self.time_base

    @cached_property
    def frame_sizes(self) -> np.ndarray:
        """int64 [T], bytes of each frame; a hidden picture counts to the frame that shows it, or to the next one."""
        counted = self.owner >= 0
        return np.bincount(self.owner[counted], self.share[counted], len(self.frame_packet)).astype(np.int64)

    @cached_property
    def duration(self) -> float:
        """Seconds from the first frame's time to the last one's end."""
        times = self.frame_times
        last = self.last_duration or (float(np.median(np.diff(times))) if len(times) > 1 else 1 / 25) or 1 / 25
        return float(times[-1]) + last

    @property
    def fps(self) -> float:
        """Frames per second on average."""
        return len(self.frame_times) / self.duration

    @property
    def constant_rate(self) -> bool:
        """All frame intervals agree within 1 ms plus a tick."""
        gaps = np.diff(self.frame_times)
        return not len(gaps) or float(np.ptp(gaps)) <= 1e-3 + 2 * self.time_base

    @property
    def start(self) -> float:
        """Time stamp of the first frame in seconds, as stored."""
        return float(self.pts[self.frame_packet[0]] * self.time_base)

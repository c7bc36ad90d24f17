"""What to do about the damage in a file: go on, count it and warn once, or refuse the file."""

import warnings

from ..errors import Ov2Error, VideoError, VideoWarning

POLICIES = ("skip", "refuse")
AGAIN = "copy or download it again"
REENCODE = "re-encode what can be decoded: `ffmpeg -i IN -c:v libx264 -crf 18 OUT.mp4`"


class Damage:
    """The damage met in one file so far.

    Args:
        path: of the file.
        policy: "skip" goes on without what is damaged, and `warn` says so; "refuse" raises at the first of it.

    Raises:
        Ov2Error: another policy.
    """

    def __init__(self, path: str, policy: str):
        if policy not in POLICIES:
            raise Ov2Error(f"damaged={policy!r}; use one of {', '.join(POLICIES)}")
        self.path, self.policy = path, policy
        self._causes: dict[str, str] = {}  # what is wrong with the file: remedy, if it needs one
        self._frames: dict[int, tuple[float, str]] = {}  # index: (seconds, what is wrong with it)
        self._reported = 0

    def of_file(self, cause: str, remedy: str) -> None:
        """Note what is wrong with the file. Raises VideoError if it is to be refused."""
        if self.policy == "refuse":
            raise VideoError(self.path, cause, remedy)
        self._causes[cause] = remedy

    def note(self, cause: str) -> None:
        """Note what to warn of that is no damage, and never refused."""
        self._causes[cause] = ""

    def of_frame(self, index: int, seconds: float, cause: str) -> None:
        """Note a damaged frame. Raises VideoError if the file is to be refused."""
        if self.policy == "refuse":
            raise VideoError(self.path, f"the video is damaged near {seconds:.2f} s ({cause})", REENCODE)
        self._frames.setdefault(index, (seconds, cause))

    def warn(self) -> None:
        """Say what has been survived since the last warning, in one `VideoWarning`."""
        # 1. Is there anything new?
        count = len(self._causes) + len(self._frames)
        if count == self._reported:
            return
        self._reported = count
        # 2. One sentence on the file and one on its frames, then what to do about them
        causes, remedies = list(self._causes), set(self._causes.values()) - {""}
        if self._frames:
            (seconds, cause), count = min(self._frames.values()), len(self._frames)
            causes.append(f"{count} damaged frame{'s' * (count > 1)}, the first near {seconds:.2f} s ({cause})")
            remedies.add(REENCODE)
        advice = f"; read all the same; {' or '.join(sorted(remedies))}" if remedies else ""
        text = f"{self.path}: {'; '.join(causes)}{advice}"
        warnings.warn(text, VideoWarning, stacklevel=2)

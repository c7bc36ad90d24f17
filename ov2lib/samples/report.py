"""What was left out of training and why: counted, listed, and an error once it is too much."""

from ..errors import MediaError, ModelError, Ov2Error, TokensError, TrainingError, describe

MAX_BAD_SHARE = 0.01  # assumed
JUDGED_AFTER = 100  # assumed: rows before a share says anything
OF_A_SAMPLE = (TrainingError, MediaError, TokensError, ModelError)  # our other errors, such as a full disk, are none of them


class Report:
    """Rows seen, and the ids of those that were skipped, by reason.

    Args:
        max_bad_share: more bad rows than this share of all rows are an error...
        judged_after: ...once this many rows were seen, or all of them, see `end`.
    """

    def __init__(self, max_bad_share: float = MAX_BAD_SHARE, judged_after: int = JUDGED_AFTER):
        self.max_bad_share, self.judged_after = max_bad_share, judged_after
        self.rows, self.skipped = 0, 0
        self.reasons: dict[str, list[str]] = {}

    def see(self) -> None:
        """Count one more row, before it is known to be good.

        Raises:
            TrainingError: too many of the rows so far are bad.
        """
        self.rows += 1
        self._judge(self.judged_after)

    def skip(self, name: str, error: Exception) -> None:
        """List one row, of those seen, as skipped.

        Args:
            name: the sample's id, or the place of a row that gave no sample.
            error: why; what it says of this one sample alone (its name, its path) is left out of the reason.

        Raises:
            TrainingError: too many of the rows so far are bad.
            Ov2Error, MemoryError: `error` itself, where the sample is not to blame and the next one would not fare better.
        """
        if isinstance(error, MemoryError) or (isinstance(error, Ov2Error) and not isinstance(error, OF_A_SAMPLE)):
            raise error
        if isinstance(error.__cause__, MediaError):
            error = error.__cause__
        reason = error.cause if isinstance(error, MediaError) else describe(error).removeprefix(f"{name}: ")
        self.reasons.setdefault(reason, []).append(name)
        self.skipped += 1
        self._judge(self.judged_after)

    def end(self) -> None:
        """Judge all rows, however few they are.

        Raises:
            TrainingError: too many of them are bad.
        """
        self._judge(1)

    def _judge(self, after: int) -> None:
        if self.rows >= after and self.skipped > self.max_bad_share * self.rows:
            reason, names = max(self.reasons.items(), key=lambda item: len(item[1]))
            raise TrainingError(
                f"{self.skipped} of {self.rows} samples cannot be used, more than {self.max_bad_share:.1%}; {len(names)}, such "
                f"as {names[0]}: {reason}. Repair the data, or allow more (--max-bad-share)"
            )

    def to_json(self) -> dict:
        """Counts, limits, and all ids by reason, the most frequent reason first."""
        reasons = sorted(self.reasons.items(), key=lambda item: -len(item[1]))
        return {
            "rows": self.rows,
            "skipped": self.skipped,
            "max_bad_share": self.max_bad_share,
            "judged_after": self.judged_after,
            "reasons": [{"reason": reason, "count": len(names), "ids": names} for reason, names in reasons],
        }

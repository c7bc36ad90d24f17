"""What goes wrong in the mini world."""

from ov2lib.errors import Ov2Error


class MiniError(Ov2Error):
    """A synthetic clip, question or lesson that cannot be made as asked."""

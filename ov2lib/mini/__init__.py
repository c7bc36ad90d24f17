"""A small synthetic world with known truth: short rendered clips, encoded with real codecs."""

from .encode import Encoding
from .scenes import Clip, Track, camera_cuts, jump_rope, moving_shapes

__all__ = ["Clip", "Encoding", "Track", "camera_cuts", "jump_rope", "moving_shapes"]

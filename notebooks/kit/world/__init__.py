"""A small synthetic world with known truth: short rendered clips, encoded with real codecs."""

from ov2lib.video.encode import Encoding

from .clips import Clip, Track, camera_cuts, jump_rope, moving_shapes

__all__ = ["Clip", "Encoding", "Track", "camera_cuts", "jump_rope", "moving_shapes"]

"""Reproducible companion to the paper LLaVA-OneVision-2: codec-stream tokenization, model, training and evaluation."""

from .codec.frontend import tokenize_video
from .codec.sampled import tokenize_frames, tokenize_image
from .errors import ModelError, Ov2Error, TokensError, VideoError
from .tokens import VisualTokens
from .video.signals import read_signals

__version__ = "0.2.0"
__all__ = [
    "ModelError",
    "Ov2Error",
    "TokensError",
    "VideoError",
    "VisualTokens",
    "__version__",
    "read_signals",
    "tokenize_frames",
    "tokenize_image",
    "tokenize_video",
]

"""Reproducible companion to the paper LLaVA-OneVision-2: codec-stream tokenization, model, training and evaluation."""

from .errors import Ov2Error, TokensError, VideoError
from .tokens import VisualTokens

__version__ = "0.1.0"
__all__ = ["Ov2Error", "TokensError", "VideoError", "VisualTokens", "__version__"]

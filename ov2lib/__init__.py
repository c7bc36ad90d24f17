"""Reproducible companion to the paper LLaVA-OneVision-2: codec-stream tokenization, model, training and evaluation."""

from . import _register
from .errors import ModelError, Ov2Error, TokensError, VideoError
from .tokens import VisualTokens

__version__ = "0.1.0"
__all__ = ["ModelError", "Ov2Error", "TokensError", "VideoError", "VisualTokens", "__version__"]

_register.install()

"""The published model: configuration, modeling, processor and prompt (the extra "model" of the package).

Importing this package registers the classes with transformers' Auto classes, so that `AutoConfig`, `AutoModel`,
`AutoModelForImageTextToText`, `AutoModelForCausalLM` and `AutoProcessor` open a checkpoint folder without remote code.
"""

from ..errors import install_hint

try:
    import torch  # noqa: F401
    import transformers
except ModuleNotFoundError as error:
    hint = f"ov2lib.model needs {error.name}; {install_hint('model')}"
    raise ModuleNotFoundError(hint, name=error.name) from error

from .checkpoint import checkpoint_shapes, load_encoder
from .configuration import LlavaOnevision2Config, LlavaOnevision2VisionConfig
from .modeling import LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Model
from .processing import LlavaOnevision2Processor
from .vision import LlavaOnevision2VisionModel

transformers.AutoConfig.register(LlavaOnevision2Config.model_type, LlavaOnevision2Config)
transformers.AutoConfig.register(LlavaOnevision2VisionConfig.model_type, LlavaOnevision2VisionConfig)
transformers.AutoModel.register(LlavaOnevision2Config, LlavaOnevision2Model)
transformers.AutoModel.register(LlavaOnevision2VisionConfig, LlavaOnevision2VisionModel)
transformers.AutoModelForImageTextToText.register(LlavaOnevision2Config, LlavaOnevision2ForConditionalGeneration)
transformers.AutoModelForCausalLM.register(LlavaOnevision2Config, LlavaOnevision2ForConditionalGeneration)
transformers.AutoProcessor.register(LlavaOnevision2Config, LlavaOnevision2Processor)

__all__ = [
    "LlavaOnevision2Config",
    "LlavaOnevision2ForConditionalGeneration",
    "LlavaOnevision2Model",
    "LlavaOnevision2Processor",
    "LlavaOnevision2VisionConfig",
    "LlavaOnevision2VisionModel",
    "checkpoint_shapes",
    "load_encoder",
]

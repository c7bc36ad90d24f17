"""The published model: configuration, modeling, processor and prompt (the extra "model" of the package).

Importing this package registers the classes with transformers' Auto classes, so that `AutoConfig`, `AutoModel`,
`AutoModelForImageTextToText`, `AutoModelForMultimodalLM`, `AutoModelForCausalLM` and `AutoProcessor` open a checkpoint folder
without remote code. The stand-alone vision encoder is not registered; `load_encoder` reads its files.
"""

from ..errors import install_hint

try:
    import torch  # noqa: F401
    import transformers
except ModuleNotFoundError as error:
    hint = f"ov2lib.model needs {error.name}; {install_hint('model')}"
    raise ModuleNotFoundError(hint, name=error.name) from error

from .checkpoint import checkpoint_shapes, load_encoder
from .configuration import LlavaOnevision2Config, LlavaOnevision2MoeConfig, LlavaOnevision2VisionConfig
from .modeling import (
    LlavaOnevision2ForConditionalGeneration,
    LlavaOnevision2Model,
    LlavaOnevision2MoeForConditionalGeneration,
    LlavaOnevision2MoeModel,
)
from .processing import LlavaOnevision2Processor
from .vision import LlavaOnevision2VisionModel

for config, base, whole in (
    (LlavaOnevision2Config, LlavaOnevision2Model, LlavaOnevision2ForConditionalGeneration),
    (LlavaOnevision2MoeConfig, LlavaOnevision2MoeModel, LlavaOnevision2MoeForConditionalGeneration),
):
    transformers.AutoConfig.register(config.model_type, config)
    transformers.AutoModel.register(config, base)
    for auto in ("AutoModelForImageTextToText", "AutoModelForMultimodalLM", "AutoModelForCausalLM"):
        getattr(transformers, auto).register(config, whole)
    transformers.AutoProcessor.register(config, LlavaOnevision2Processor)

__all__ = [
    "LlavaOnevision2Config",
    "LlavaOnevision2ForConditionalGeneration",
    "LlavaOnevision2Model",
    "LlavaOnevision2MoeConfig",
    "LlavaOnevision2MoeForConditionalGeneration",
    "LlavaOnevision2MoeModel",
    "LlavaOnevision2Processor",
    "LlavaOnevision2VisionConfig",
    "LlavaOnevision2VisionModel",
    "checkpoint_shapes",
    "load_encoder",
]

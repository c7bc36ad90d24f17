"""`ov2 assemble`: the model that stage 1 starts from, put together from published checkpoints.

    model.language_model.*, lm_head   LLaVA-OneVision-1.5-8B, or a plain Qwen3
    model.visual.*                    OneVision-Encoder, as published on its own
    model.visual.merger.*             LLaVA-OneVision-1.5's connector where it fits, otherwise fresh

Published: stage 1 starts from LLaVA-OneVision-1.5-8B with the vision tower replaced by OneVision-Encoder. The rest is *assumed*
and written beside the weights (`assembly.json`): that the connector, which fits to the tensor, stayed; that a fresh one is
drawn like any new linear layer here; that context length and rope base are the language model's own (the released 8B has a
base of 8e6).

Weights are copied as they are, in their own precision. Names and shapes are compared from headers before anything is written;
then one output file at a time is in memory, and the encoder (1.2 GB in float32).
"""

import json
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen3Config
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ..errors import ModelError
from ..files import whole_folder
from ..model import (
    LlavaOnevision2Config,
    LlavaOnevision2ForConditionalGeneration,
    LlavaOnevision2Processor,
    LlavaOnevision2VisionConfig,
)
from ..model.checkpoint import Stored, checkpoint_tensors, compare_shapes, read_encoder
from ..model.prompt import CHAT_TEMPLATE, IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START
from ..samples.media import IMAGE_PIXELS
from ..tokens import MERGE

VISUAL, CONNECTOR, LANGUAGE, HEAD = "model.visual.", "model.visual.merger.", "model.language_model.", "lm_head.weight"
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
LANGUAGES = ("qwen3", "llavaonevision1_5_text")  # published types of a language model that is a dense Qwen3
SHARD = "2GB"  # our choice
NOTES = "assembly.json"


@dataclass(frozen=True)
class Assembly:
    """What was put together.

    Attributes:
        language, vision: the folders.
        connector: where it is from.
        parameters: of the whole model.
        dropped: tensors of the two checkpoints that have no place in the model, by what they are, with their number.
        assumed: what is not in our sources.
    """

    language: str
    vision: str
    connector: str
    parameters: int
    dropped: dict[str, int]
    assumed: tuple[str, ...]


def assemble(language: str | Path, vision: str | Path, output: str | Path, seed: int = 0) -> Assembly:
    """Write a checkpoint folder that `from_pretrained` and `ov2 train --from` read; it appears whole or not at all.

    Args:
        language: folder of LLaVA-OneVision-1.5 or Qwen3, with its tokenizer.
        vision: folder of a stand-alone OneVision-Encoder.
        output: folder to make.
        seed: of a fresh connector.

    Raises:
        ModelError: a folder lacks something, holds another architecture, or the two do not fit; tensors are named. Nothing
            has been written then.
    """
    # 1. Read the parts' configurations, and build the model without storage
    language, vision, output = Path(language), Path(vision), Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ModelError(f"{output} exists; choose a new folder")
    tokenizer = _tokenizer(language)
    config = _configuration(language, vision, tokenizer)
    with torch.device("meta"):
        model = LlavaOnevision2ForConditionalGeneration(config)
    # 2. Compare names and shapes before anything is written
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del shapes[HEAD]
    tower, spare = _tower(vision, shapes)
    stored, connector, dropped = _language(language, shapes)
    # 3. The connector: the language model's own where it fits, otherwise a fresh one
    if connector:
        origin = f"from {language.name}, as it fits"
    else:
        tower |= _fresh_connector(config, seed, DTYPES[stored[f"{LANGUAGE}norm.weight"].dtype])
        origin = f"fresh, drawn with seed {seed}"
    made = Assembly(
        str(language), str(vision), origin, model.num_parameters(), dropped | spare, _assumed(config, bool(connector))
    )
    # 4. Write weights, configuration, processor and a note of what came from where
    with whole_folder(output, ModelError) as scratch:
        _write_weights(scratch, stored | connector, tower)
        config.architectures, config.dtype = [type(model).__name__], DTYPES[stored[f"{LANGUAGE}norm.weight"].dtype]
        config.save_pretrained(scratch)
        _processor(tokenizer, config.vision_config.patch_size).save_pretrained(scratch)
        if (language / "generation_config.json").is_file():
            shutil.copyfile(language / "generation_config.json", scratch / "generation_config.json")
        (scratch / NOTES).write_text(json.dumps(asdict(made), indent=2) + "\n")
    return made


def _read_config(folder: Path, what: str) -> dict:
    path = folder / "config.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ModelError(f"{folder} has no config.json; give the folder of {what}") from error
    except json.JSONDecodeError as error:
        raise ModelError(f"{path} is damaged ({error}); get it again") from error


def _configuration(language: Path, vision: Path, tokenizer: PreTrainedTokenizerBase) -> LlavaOnevision2Config:
    """The language model's and the encoder's own settings, joined; merge 2 as released."""
    # 1. The language model's own settings
    given = _read_config(language, "LLaVA-OneVision-1.5 or Qwen3")
    text = {name: given[name] for name in given.keys() & {"tie_word_embeddings"}} | given.get("text_config", given)
    kind = str(text.get("model_type"))
    if kind.lower() not in LANGUAGES:
        raise ModelError(f"{language} holds a language model of type {kind!r}; give LLaVA-OneVision-1.5's or a dense Qwen3")
    known = {field.name for field in fields(Qwen3Config)} | {"rope_theta", "rope_scaling"}
    text_config = Qwen3Config(**{name: value for name, value in text.items() if name in known and name != "model_type"})
    # 2. The encoder's own settings, fitted to the language model
    seen = _read_config(vision, "a stand-alone OneVision-Encoder")
    known = {field.name for field in fields(LlavaOnevision2VisionConfig)} - {"model_type", "architectures", "dtype"}
    ours = {"spatial_merge_size": MERGE, "out_hidden_size": text_config.hidden_size, "use_head": False}
    vision_config = LlavaOnevision2VisionConfig(**{name: seen[name] for name in known & seen.keys()} | ours)
    # 3. The special tokens, which the tokenizer must have
    names = {"image": IMAGE_PAD, "video": VIDEO_PAD, "vision_start": VISION_START, "vision_end": VISION_END}
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    if absent := [token for name, token in names.items() if token not in tokenizer.get_vocab()]:
        raise ModelError(
            f"the tokenizer of {language} has no {absent[0]}; give a model of the Qwen3 family with its own tokenizer"
        )
    if max(ids.values()) >= text_config.vocab_size:
        raise ModelError(f"{language}: its tokenizer has more tokens than the {text_config.vocab_size:,} of its config.json")
    return LlavaOnevision2Config(
        text_config=text_config, vision_config=vision_config, tie_word_embeddings=text_config.tie_word_embeddings, **ids
    )


def _tokenizer(language: Path) -> PreTrainedTokenizerBase:
    if not any((language / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ModelError(f"{language} has no tokenizer.json; the model is assembled with the language model's tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(language)
    tokenizer.chat_template = CHAT_TEMPLATE  # published ChatML; Qwen3's own knows no images
    return tokenizer


def _processor(tokenizer: PreTrainedTokenizerBase, patch_size: int) -> LlavaOnevision2Processor:
    images = Qwen2VLImageProcessorPil(patch_size=patch_size, temporal_patch_size=1, size=IMAGE_PIXELS)
    return LlavaOnevision2Processor(images, tokenizer)


def _tower(vision: Path, shapes: dict[str, tuple[int, ...]]) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    """The encoder's tensors under their names in the model, and how many were dropped."""
    tensors = {VISUAL + name: tensor for name, tensor in read_encoder(vision).items()}
    mine = {name: shape for name, shape in shapes.items() if name.startswith(VISUAL) and not name.startswith(CONNECTOR)}
    compare_shapes(mine, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, str(vision))
    if surplus := sorted(tensors.keys() - mine.keys()):
        raise ModelError(
            f"{vision} holds {len(surplus)} tensors that OneVision-Encoder has no place for, first "
            f"{surplus[0].removeprefix(VISUAL)}; give the stand-alone OneVision-Encoder"
        )
    spare = sum(name.startswith(("head.", "layernorm_post.")) for name in checkpoint_tensors(vision))
    return tensors, {"pooling head and last norm of the encoder": spare}


def _language(
    language: Path, shapes: dict[str, tuple[int, ...]]
) -> tuple[dict[str, Stored], dict[str, Stored], dict[str, int]]:
    """Tensors of the language model, of the connector if it fits, and how many were dropped."""
    # 1. Every tensor the model needs, with its shape
    tensors = {_placed(name): stored for name, stored in checkpoint_tensors(language).items() if not name.endswith(".inv_freq")}
    mine = {name: shape for name, shape in shapes.items() if not name.startswith(VISUAL)}
    compare_shapes(mine, {name: stored.shape for name, stored in tensors.items()}, str(language))
    # 2. The connector, if it fits as a whole
    connector = {name: shape for name, shape in shapes.items() if name.startswith(CONNECTOR)}
    fits = all(name in tensors and tensors[name].shape == shape for name, shape in connector.items())
    used = mine.keys() | (connector.keys() if fits else set())
    # 3. Only plain floating-point weights are taken
    for name in used:
        if tensors[name].dtype not in DTYPES:
            raise ModelError(f"{language}: {name} is quantized ({tensors[name].dtype}); give the unquantized checkpoint")
    # 4. What is left must be the replaced vision tower, or a tied head
    rest = tensors.keys() - used
    tied = {HEAD} - mine.keys()  # a tied head is the embedding once more
    surplus = sorted(name for name in rest - tied if not name.startswith(VISUAL))
    if surplus:
        raise ModelError(
            f"{language} holds {len(surplus)} tensors that a dense Qwen3 has no place for, first {surplus[0]}; give "
            "LLaVA-OneVision-1.5's or a dense Qwen3"
        )
    dropped = {"vision tower of the language model's checkpoint": len(rest - tied)}
    return {name: tensors[name] for name in mine}, {name: tensors[name] for name in connector if fits}, dropped


def _placed(name: str) -> str:
    """Name in our model: plain Qwen3 and older files of LLaVA-OneVision-1.5 have no `language_model` and no `model.visual`."""
    if name.startswith("visual."):
        return f"model.{name}"
    return (
        name if name.startswith((VISUAL, LANGUAGE)) or not name.startswith("model.") else LANGUAGE + name.removeprefix("model.")
    )


def _fresh_connector(config: LlavaOnevision2Config, seed: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Normal weights of the configuration's `initializer_range`, norms 1, biases 0."""
    vision, draw = config.vision_config, torch.Generator().manual_seed(seed)
    joined = vision.hidden_size * vision.spatial_merge_size**2
    made = {"ln_q.weight": torch.ones(vision.hidden_size), "ln_q.bias": torch.zeros(vision.hidden_size)}
    for layer, width in (("mlp.0", joined), ("mlp.2", vision.out_hidden_size)):
        made[f"{layer}.weight"] = torch.empty(width, joined).normal_(0, vision.initializer_range, generator=draw)
        made[f"{layer}.bias"] = torch.zeros(width)
    return {CONNECTOR + name: tensor.to(dtype) for name, tensor in made.items()}


def _assumed(config: LlavaOnevision2Config, kept: bool) -> tuple[str, ...]:
    rope = config.text_config.rope_parameters["rope_theta"]
    connector = (
        "the connector of the language model's checkpoint is kept, though it was trained with another encoder"
        if kept
        else f"the connector is drawn from a normal distribution of {config.vision_config.initializer_range:g}"
    )
    return (
        connector,
        f"rope base {rope:g} and a context of {config.text_config.max_position_embeddings:,} are the language model's own; the "
        "released 8B has a base of 8e6, and where it was raised is not in our sources",
        f"norms of the encoder have eps {config.vision_config.layer_norm_eps:g}, its config.json's",
    )


def _write_weights(folder: Path, stored: dict[str, Stored], tower: dict[str, torch.Tensor]) -> None:
    """Write all tensors in files of at most `SHARD`, and their index where there are several."""
    sizes = {name: torch.empty(one.shape, dtype=DTYPES[one.dtype], device="meta") for name, one in stored.items()}
    plan = split_torch_state_dict_into_shards(tower | sizes, filename_pattern="model{suffix}.safetensors", max_shard_size=SHARD)
    for file, names in plan.filename_to_tensors.items():
        tensors = {name: tower[name] if name in tower else stored[name].read() for name in names}
        try:
            save_file(tensors, folder / file, {"format": "pt"})
        except SafetensorError as error:  # how safetensors reports a full disk
            raise ModelError(f"cannot write {file}: {error}; free some space or choose another folder") from error
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")

"""Ask a model about an image or a video."""

from pathlib import Path
from typing import Any

import torch
from transformers import TextStreamer

from ..errors import ModelError
from ..samples.media import kind_of
from .adapter import base_of, load_folder
from .checkpoint import HUB_MODEL
from .processing import LlavaOnevision2Processor


def ask(
    media: str | Path,
    question: str,
    model: str | Path,
    backend: str | None = None,
    device: str | None = None,
    max_new_tokens: int = 256,
    stream: bool = False,
    timestamps: str | None = None,
    **media_options,
) -> str:
    """Answer a question about one image or video, greedily.

    Args:
        media: path of an image or a video.
        model: checkpoint folder, or that of an adapter.
        backend: "codec" or "frames", for videos; None follows from the media options, or else from the checkpoint.
        device: "cpu", "cuda", ...; None takes a GPU where there is one.
        stream: print the answer to stdout as it comes.
        timestamps: "presentation" or "published", what time tags say; None is the checkpoint's, see `prompt.source_seconds`.
        media_options: further fields of `media.MediaOptions`.

    Raises:
        ModelError: no model in that folder, or no such device or file.
        VideoError: a video that cannot be read.
    """
    # 1. Check the cheap things first
    folder, source = check_folder(model), Path(media)
    if not source.is_file():
        raise ModelError(f"{source} does not exist; name an image or a video")
    target = find_device(device)
    kind = kind_of(source)
    # 2. The prompt and its visual tokens
    processor = load_processor(folder)
    content = [{"type": kind, kind: str(source)}, {"type": "text", "text": question}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    options: dict[str, Any] = media_options | {"video_backend": backend, "timestamps": timestamps, f"{kind}s": str(source)}
    inputs = processor(prompt, **options).to(target)
    # 3. Generate, and print as it comes
    network = load_folder(folder).to(target).eval()
    ids = network.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=processor.tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=processor.tokenizer.pad_token_id,
        streamer=TextStreamer(processor.tokenizer, skip_prompt=True, skip_special_tokens=True) if stream else None,
    )
    return processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def check_folder(model: str | Path) -> Path:
    """The folder, if it holds a model's configuration, or an adapter whose model is there.

    Raises:
        ModelError: it does not.
        TrainingError: the adapter's model has gone.
    """
    folder = Path(model)
    if not (base_of(folder) / "config.json").is_file():
        raise ModelError(
            f"no model in {folder}; get the released one with `hf download {HUB_MODEL} --local-dir {folder}` "
            "(about 17 GB), or name a folder that `save_pretrained` wrote"
        )
    return folder


def load_processor(folder: Path) -> LlavaOnevision2Processor:
    """The processor of a checkpoint folder.

    Raises:
        ModelError: its files are missing or unreadable.
    """
    try:
        return LlavaOnevision2Processor.from_pretrained(folder)
    except OSError as error:  # transformers' word for a missing or unreadable file
        raise ModelError(
            f"{folder} lacks its processor's files ({str(error).split(' If you')[0].strip()}); copy them "
            f"from the model's repository, {HUB_MODEL}"
        ) from error


def find_device(name: str | None) -> torch.device:
    """The device of that name; None takes a GPU where there is one.

    Raises:
        ModelError: it is not available here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {name!r} is not available here ({str(error).splitlines()[0]}); use --device cpu") from error

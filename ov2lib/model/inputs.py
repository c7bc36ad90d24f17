"""What users of transformers hand to a processor: addresses, encoded pictures, tensors, nested options."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers.image_utils import load_image

from ..errors import ImageError, ModelError, describe

NESTED = ("images_kwargs", "videos_kwargs", "text_kwargs", "common_kwargs")  # published: transformers' ProcessingKwargs
ENCODED = 1024  # characters: a longer string is a picture in base64, no path


def plain(items: object) -> Any:
    """Images or videos with tensors as arrays [..., H, W, C]; lists are gone through.

    A tensor or array with its three channels first is turned round.
    """
    if isinstance(items, (list, tuple)):
        return [plain(item) for item in items]
    if isinstance(items, torch.Tensor):
        items = items.detach().cpu().numpy()
    if isinstance(items, np.ndarray) and items.ndim >= 3 and items.shape[-3] == 3 and items.shape[-1] not in (1, 3, 4):
        items = np.moveaxis(items, -3, -1)
    return items


def picture(item: object) -> object:
    """An image; addresses, data URIs and base64 are read as transformers reads them.

    Raises:
        ImageError: it cannot be read.
    """
    if not isinstance(item, str) or not (item.startswith(("http://", "https://", "data:image/")) or len(item) > ENCODED):
        return item
    try:
        return load_image(item, timeout=30)
    except Exception as error:  # whatever a network, a decoder or a codec raises
        name = item if len(item) <= 100 else f"{item[:60]}… ({len(item):,} characters)"
        why = describe(error).replace(item, "it")[:200]
        raise ImageError(name, f"cannot be read ({why})", "check the address or the encoding") from error


def nested(options: Mapping) -> tuple[dict, dict, dict]:
    """Options for (images, videos, text): those of transformers' nested dictionaries over those given flat.

    Raises:
        ModelError: a nested option that is no dictionary.
    """
    groups = {name: options.get(name) or {} for name in NESTED}
    for name, group in groups.items():
        if not isinstance(group, Mapping):
            raise ModelError(f"{name} is {group!r}; pass a dictionary")
    flat = {name: value for name, value in options.items() if name not in NESTED} | groups["common_kwargs"]
    return flat | groups["images_kwargs"], flat | groups["videos_kwargs"], flat | groups["text_kwargs"]

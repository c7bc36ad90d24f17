"""What users of transformers hand to a processor: addresses, encoded pictures, tensors, nested options."""

import os
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from transformers.image_utils import load_image

from ..errors import ImageError, ModelError, describe

COMMON = "common_kwargs"  # of transformers' ProcessingKwargs: for every modality


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
    if not isinstance(item, str):
        return item
    encoded = "." not in item and not os.path.isfile(item)  # base64 has no dot, a path its suffix
    if not encoded and not item.startswith(("http://", "https://", "data:image/")):
        return item
    try:
        return load_image(item, timeout=30)
    except Exception as error:  # whatever a network, a decoder or a codec raises
        name = item if len(item) <= 100 else f"{item[:60]}… ({len(item):,} characters)"
        why = describe(error).replace(item, "it")[:200]
        raise ImageError(name, f"cannot be read ({why})", "check the address or the encoding") from error


def by_modality(options: Mapping, known: Mapping[str, Collection[str]]) -> dict[str, dict]:
    """Options of each modality: those given flat, and over them those of transformers' nested dictionaries.

    Args:
        options: flat ("num_frames") and nested ("videos_kwargs").
        known: names of options by nested dictionary.

    Raises:
        ModelError: a nested option group that is not a dictionary, or an option without effect at its place.
    """
    # 1. Take them apart
    groups = {name: options.get(name) or {} for name in (*known, COMMON)}
    for name, group in groups.items():
        if not isinstance(group, Mapping):
            raise ModelError(f"{name} is {group!r}; pass a dictionary")
    flat = {name: value for name, value in options.items() if name not in groups} | dict(groups.pop(COMMON))
    # 2. Each must be read by somebody
    everywhere = set().union(*known.values())
    for place, names in [("", flat), *groups.items()]:
        allowed = known.get(place, everywhere)
        if unknown := sorted(set(names) - set(allowed)):
            where = f" in {place}" if place else ""
            raise ModelError(f"{unknown[0]!r} is not an option of the processor{where}; there are {', '.join(sorted(allowed))}")
    # 3. Flat ones go to every modality that knows them
    shared = {place: {name: value for name, value in flat.items() if name in known[place]} for place in known}
    return {place: shared[place] | dict(groups[place]) for place in known}

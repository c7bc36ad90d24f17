"""One sample schema for the mini world and for real corpora: messages and media, one JSON object a line.

    {"id": "clip-7/0", "task": "jump_times",
     "messages": [{"role": "user", "content": "<video>\\nWhen does the figure jump?"},
                  {"role": "assistant", "content": "1.2, 2.4"}],
     "media": [{"type": "video", "path": "clips/7.mp4", "options": {"video_backend": "codec", "num_canvases": 8}}],
     "truth": {"times": [1.2, 2.4]}}

`<image>` and `<video>` in a user's words stand for the next item of `media`, as in the LLaVA corpora. Also read: content as a
list of items (`{"type": "video"}`, `{"type": "text", "text": …}`), which may bring their media along (`{"type": "video",
"video": "clips/7.mp4"}`, `{"type": "image_url", "image_url": {"url": "7.png"}}`), LLaVA's own `conversations` (with `from` and
`value`, or `role` and `content`), and media as columns `image`, `images`, `video` or `videos`. An id may be of any JSON type;
its text counts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import TrainingError

PLACEHOLDER = re.compile(r"<(image|video)>")
ROLES = ("system", "user", "assistant")
LLAVA_ROLES = {"human": "user", "gpt": "assistant"}  # the LLaVA corpora's names
ITEMS = {"image": "image", "image_url": "image", "video": "video", "video_url": "video"}  # kinds of Qwen's and OpenAI's items
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Media:
    """One image or video.

    Attributes:
        kind: "image" or "video".
        path: a file; a relative one is read from the folder of its JSONL file.
        options: how to tokenize it: fields of `ov2lib.samples.media.MediaOptions`, and `timestamp_decimals`. What is missing
            comes from the stage.
    """

    kind: str
    path: str
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """One conversation.

    Attributes:
        id: names it in reports.
        messages: (role, text) pairs: at most one "system" first, then "user" and "assistant" in turn, an answer last.
        media: in the order of their placeholders.
        task: which scorer judges an answer; empty where none does.
        truth: what that scorer needs beside the last answer.
    """

    id: str
    messages: tuple[tuple[str, str], ...]
    media: tuple[Media, ...] = ()
    task: str = ""
    truth: dict = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """Answers in the conversation."""
        return sum(role == "assistant" for role, _ in self.messages)

    def keep_rounds(self, rounds: int) -> "Sample":
        """The conversation up to the end of its `rounds`-th answer, with the media asked about until there."""
        last = [place for place, (role, _) in enumerate(self.messages) if role == "assistant"][rounds - 1]
        messages = self.messages[: last + 1]
        used = sum(len(PLACEHOLDER.findall(text)) for role, text in messages if role == "user")
        return Sample(self.id, messages, self.media[:used], self.task, self.truth)

    def to_json(self) -> dict:
        """Plain JSON values in the schema above."""
        return {
            "id": self.id,
            "task": self.task,
            "messages": [{"role": role, "content": text} for role, text in self.messages],
            "media": [{"type": item.kind, "path": item.path, "options": item.options} for item in self.media],
            "truth": self.truth,
        }


def parse_sample(row: Mapping, folder: Path | None = None, name: str = "sample") -> Sample:
    """Read one row of the schema.

    Args:
        row: JSON values.
        folder: where relative media paths start; None leaves them as they are.
        name: the id of a row that has none.

    Raises:
        TrainingError: no answer, roles out of turn, placeholders and media that differ in number or kind, a missing field.
    """
    if not isinstance(row, Mapping):
        raise TrainingError(f"{name}: a row is {_shown(row)}; give an object with 'messages'")
    name = id_text(row.get("id")) or name
    media = named_media(row, name)
    if row.get("conversations") is not None:  # pandas and Arrow write null where a column has no value
        turns: list[tuple[Any, Any]] = []
        for turn in objects(name, row, "conversations"):
            role = turn.get("from") if "from" in turn else turn.get("role")
            turns.append((_role(role), turn["value"] if "value" in turn else _text(name, turn.get("content"))))
        if {item.kind for item in media} == {"video"}:  # LLaVA-Video-178K writes <image> for its videos
            turns = [(role, text.replace("<image>", "<video>") if isinstance(text, str) else text) for role, text in turns]
    else:
        turns = [(turn.get("role"), _text(name, turn.get("content"))) for turn in objects(name, row, "messages")]
    if folder is not None:
        media = [Media(item.kind, str(folder / item.path), item.options) for item in media]
    sample = Sample(name, tuple(turns), tuple(media), str(row.get("task") or ""), _object(name, row, "truth"))
    check_sample(sample)
    return sample


def id_text(given: object) -> str:
    """An id of any JSON type as text, "" for null: 0 is an id like any other. What no file can hold is spelt out."""
    return "" if given is None else str(given).encode(errors="backslashreplace").decode()


def named_media(row: Mapping, name: str = "sample") -> list[Media]:
    """The media that a row names, in its columns or in the items of its messages.

    Raises:
        TrainingError: they stand in both, are no paths, or are URLs.
    """
    media = [_media(name, item) for item in objects(name, row, "media")]
    media += [Media(kind, path) for kind in ("image", "video") for path in _listed(name, row, kind)]
    turns = objects(name, row, "conversations") or objects(name, row, "messages")
    contents = [turn.get("content") for turn in turns]
    items = [
        item for content in contents if isinstance(content, (list, tuple)) for item in content if isinstance(item, Mapping)
    ]
    inline = [one for item in items for one in _inline(name, item)]
    if media and inline:
        raise TrainingError(f"{name}: media stand in the messages and beside them; give them once")
    for item in media + inline:
        if "://" in item.path or item.path.startswith("data:"):
            raise TrainingError(f"{name}: its {item.kind} is a URL; download it and give its path")
    return media + inline


def check_sample(sample: Sample) -> None:
    """Refuse a conversation that cannot be trained on.

    Raises:
        TrainingError: as `parse_sample`.
    """
    turns = sample.messages[1:] if sample.messages and sample.messages[0][0] == "system" else sample.messages
    expected = [("user", "assistant")[place % 2] for place in range(len(turns))]
    if [role for role, _ in turns] != expected:
        raise TrainingError(f"{sample.id}: the roles are {[role for role, _ in turns]}; users and assistants take turns")
    if not all(isinstance(text, str) for _, text in sample.messages):
        raise TrainingError(f"{sample.id}: a message has no text")
    if any(_HALF.search(text) for _, text in sample.messages):
        raise TrainingError(
            f"{sample.id}: a message holds half a character (a lone surrogate, U+D800 to U+DFFF); repair the text"
        )
    if not turns or len(turns) % 2 or not turns[-1][1].strip():
        raise TrainingError(f"{sample.id}: no assistant turn at the end, so there is nothing to learn")
    places = [kind for role, text in sample.messages if role == "user" for kind in PLACEHOLDER.findall(text)]
    kinds = [item.kind for item in sample.media]
    if places != kinds:
        raise TrainingError(f"{sample.id}: the text has places for {places} and the media are {kinds}; give one item per place")


def _role(given: object) -> object:
    return LLAVA_ROLES.get(given, given) if isinstance(given, str) else given


def _listed(name: str, row: Mapping, kind: str) -> list[str]:
    given = row.get(kind + "s") or row.get(kind) or []
    paths = [given] if isinstance(given, str) else given
    if not isinstance(paths, (list, tuple)) or not all(isinstance(path, str) for path in paths):
        raise TrainingError(f"{name}: its {kind} is {_shown(given)}; give a path or a list of paths")
    return list(paths)


def _text(name: str, content: object) -> str | None:
    if isinstance(content, str) or content is None:
        return content
    if not isinstance(content, (list, tuple)) or not all(isinstance(item, Mapping) for item in content):
        raise TrainingError(f"{name}: content is {_shown(content)}; give a string or a list of items")
    return "".join(_words(name, item) for item in content)


def _words(name: str, item: Mapping) -> str:
    kind, text = item.get("type"), item.get("text")
    if isinstance(kind, str) and kind in ITEMS:
        return f"<{ITEMS[kind]}>"
    if kind != "text" or not isinstance(text, str):
        raise TrainingError(f"{name}: an item of content is {_shown(dict(item))}; its type is 'text', 'image' or 'video'")
    return text


def _inline(name: str, item: Mapping) -> list[Media]:
    """The medium that an item of content brings along, if it does; its other fields are the medium's options."""
    key = item.get("type")
    if not isinstance(key, str) or key not in ITEMS:
        return []
    places = [place for place in (key, "path", "url") if item.get(place) is not None]
    if not places:
        return []
    path = item[places[0]]
    path = path.get("url") if isinstance(path, Mapping) and "url" in path else path
    if not isinstance(path, str):
        raise TrainingError(f"{name}: the {ITEMS[key]} in a message is {_shown(path)}; give its path")
    options = {option: value for option, value in item.items() if option not in ("type", *places) and value is not None}
    return [Media(ITEMS[key], path, options)]


def _media(name: str, item: Mapping) -> Media:
    if item.get("type") not in ("image", "video") or not isinstance(item.get("path"), str):
        raise TrainingError(f"{name}: a media item is {_shown(dict(item))}; give its type, 'image' or 'video', and its path")
    return Media(item["type"], item["path"], _object(name, item, "options"))


def objects(name: str, row: Mapping, key: str) -> list[Mapping]:
    """A row's list of objects, empty where there is none; a `TrainingError` where it is something else."""
    given = row.get(key) or []
    if not isinstance(given, (list, tuple)) or not all(isinstance(item, Mapping) for item in given):
        raise TrainingError(f"{name}: {key} is {_shown(given)}; give a list of objects")
    return list(given)


def _object(name: str, row: Mapping, key: str) -> dict:
    given = row.get(key) or {}
    if not isinstance(given, Mapping):
        raise TrainingError(f"{name}: {key} is {_shown(given)}; give an object")
    return dict(given)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

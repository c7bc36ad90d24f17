"""Data cards: what each corpus is, who says so, how to get it. `data_cards/*.md`, read by people and by code.

A card is Markdown under YAML front matter; the front matter becomes a `DataCard`. `samples: null` says that a number is
"not in our sources"; a licence that nobody looked up is "not checked". Where sources disagree on a number, the configurations
use `samples` and the card keeps the others under `disputed`.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path

from ov2lib import reported
from ov2lib.errors import Ov2Error, TrainingError
from ov2lib.files import project_root
from ov2lib.train.stages import STAGES

KINDS = ("text", "image", "video")


@dataclass(frozen=True)
class DataCard:
    """One corpus.

    Attributes:
        name: of the file, without ".md"; what `Source.card` refers to.
        title: as people know it.
        kind: "text", "image" or "video".
        samples: how many; None is not in our sources.
        stages: which of the four train on it; empty for a set that is only evaluated on.
        licence: its name and whose it is, or "not in our sources", or "not checked".
        source: who states the numbers.
        obtain: where to get it.
        frames: frames a clip, by pass, of a caption bucket.
        bucket: its row in the table "caption_buckets".
        mixture: its corpus in the table "data_mixture".
        disputed: other counts of samples, by who says so.
        text: the Markdown below the front matter.
    """

    name: str
    title: str
    kind: str
    samples: int | None
    stages: tuple[int, ...]
    licence: str
    source: str
    obtain: str
    frames: tuple[int, ...] = ()
    bucket: str = ""
    mixture: str = ""
    disputed: dict[str, int] = field(default_factory=dict)
    text: str = ""

    def composition(self) -> dict[str, float]:
        """Published shares of its components, percent, largest first; empty where none were published."""
        rows = (row for row in reported.rows("data_mixture") if row["corpus"] == self.mixture and row["quantity"] == "share")
        return {row["component"]: float(row["value"]) for row in rows}


def card_folder() -> Path:
    """`data_cards/` of the clone.

    Raises:
        TrainingError: not inside a clone. An installed package has no cards; training does not need them.
    """
    try:
        folder = project_root() / "data_cards"
    except Ov2Error as error:
        raise TrainingError("data cards lie in data_cards/ of a clone of the project, not in an installed package") from error
    if not folder.is_dir():
        raise TrainingError(f"{folder} is missing; check the clone out again")
    return folder


def load_cards(folder: Path | None = None) -> dict[str, DataCard]:
    """All cards by name, in the order of their files.

    Args:
        folder: default `card_folder()`.

    Raises:
        TrainingError: no card there, or one that cannot be read; the message names file, field and remedy.
    """
    folder = card_folder() if folder is None else Path(folder)
    cards = {path.stem: read_card(path) for path in sorted(folder.glob("*.md"))}
    if not cards:
        raise TrainingError(f"no data card in {folder}; cards are Markdown files with YAML front matter")
    return cards


def read_card(path: Path) -> DataCard:
    """One card.

    Raises:
        TrainingError: no front matter, YAML that does not parse, a field that is missing, unknown or of another type, a name
            other than the file's.
    """
    import yaml

    try:
        opening, front, text = path.read_text(encoding="utf-8").split("---\n", 2)
        values = yaml.safe_load(front)
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read: {error}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise TrainingError(
            f"{path}: no YAML front matter between two lines of '---': {' '.join(str(error).split())}"
        ) from error
    if opening or not isinstance(values, dict):
        raise TrainingError(f"{path}: the file must begin with front matter of 'field: value' lines")
    _check(path, values)
    values |= {name: tuple(values[name]) for name in ("stages", "frames") if name in values}
    return DataCard(**values, text=text.strip())


def _check(path: Path, values: dict) -> None:
    # 1. No field missing, none unknown
    known = {item.name: item for item in fields(DataCard) if item.name != "text"}
    required = {"name", "title", "kind", "samples", "stages", "licence", "source", "obtain"}
    if wrong := (required - set(values)) | (set(values) - set(known)):
        raise TrainingError(f"{path}: fields missing or unknown: {', '.join(sorted(map(str, wrong)))}; see DataCard")
    # 2. Whole numbers where there must be numbers, text elsewhere
    whole = {"samples": [values["samples"]] if values["samples"] is not None else [], "stages": values["stages"],
             "frames": values.get("frames", []), "disputed": values.get("disputed", {})}  # fmt: skip
    for name, numbers in whole.items():
        if not isinstance(numbers, dict if name == "disputed" else list):
            raise TrainingError(f"{path}: {name} is {numbers!r}; give {'a mapping' if name == 'disputed' else 'a list'}")
        numbers = numbers.values() if name == "disputed" else numbers
        if not all(type(number) is int and number > 0 for number in numbers):
            raise TrainingError(f"{path}: {name} must hold whole numbers above 0 (samples may be null: not in our sources)")
    for name in set(known) - set(whole):
        if not isinstance(values.get(name, ""), str) or (name in required and not values[name].strip()):
            raise TrainingError(f"{path}: {name} is {values.get(name)!r}; give text")
    # 3. Names and kinds that others refer to
    if values["name"] != path.stem:
        raise TrainingError(f"{path}: name is {values['name']!r}; it must be the file's, {path.stem!r}")
    if values["kind"] not in KINDS or not set(values["stages"]) <= set(STAGES):
        raise TrainingError(f"{path}: kind is one of {', '.join(KINDS)}, stages are among {', '.join(map(str, STAGES))}")

"""How each codec front end is set: one class for each, so that an option which would do nothing is refused."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import ClassVar

from ..display import Shown
from ..errors import Ov2Error, real_number, whole_number
from ..geometry import MIN_PIXELS
from ..tokens import MERGE
from . import gop, packing, released

CANVASES_PER_GROUP = 4  # published: codec-video-prep, one I- and three P-canvases a group


@dataclass(frozen=True)
class CanvasConfig(Shown):
    """What all front ends share; the configuration is dumped beside the tokens.

    Attributes:
        front_end: name of the front end.
        num_canvases: how many canvases to make; see the front ends.
        max_pixels, min_pixels: of a canvas; patch_size: pixels on a patch's side; merge: patches on a block's side.
    """

    front_end: ClassVar[str]
    num_canvases: int = 32
    max_pixels: int = 153_664
    patch_size: int = 14
    min_pixels: int = MIN_PIXELS
    merge: int = MERGE

    def __post_init__(self):
        self._whole(num_canvases=1, max_pixels=1, patch_size=1, min_pixels=0, merge=1)
        if self.patch_size * self.merge % 2:  # the residual is compared at half size
            raise Ov2Error(f"blocks of {self.merge} x {self.patch_size} pixels are odd; codec canvases need an even number")

    def _whole(self, **least: int) -> None:
        """These fields have to be whole numbers of at least so much."""
        for name, bound in least.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), bound))

    def _real(self, *names: str) -> None:
        """These fields have to be real numbers of at least 0."""
        for name in names:
            object.__setattr__(self, name, real_number(name, getattr(self, name)))

    def _choose(self, name: str, allowed: Iterable) -> None:
        """This field has to be one of these."""
        if getattr(self, name) not in allowed:
            raise Ov2Error(f"{name}={getattr(self, name)!r}; use one of {', '.join(map(str, allowed))}")

    def to_dict(self) -> dict:
        """Plain values, the front end's name first."""
        return {"front_end": self.front_end} | asdict(self)


@dataclass(frozen=True)
class PaperConfig(CanvasConfig):
    """The paper's front end: groups of variable length, cut where the bits are spent. `num_canvases` is never exceeded.

    Attributes:
        cost, smooth: see `gop.bin_costs`.
        attenuation, peak: λ and α of the packing.
        beta: weight of the bit-cost prior, 0 leaves motion + residual.
    """

    front_end: ClassVar[str] = "paper"
    cost: str = "bytes"
    smooth: int = 0
    attenuation: float = packing.ATTENUATION
    peak: float = packing.PEAK_WEIGHT
    beta: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        self._choose("cost", gop.COSTS)
        self._whole(smooth=0)
        self._real("attenuation", "peak", "beta")


@dataclass(frozen=True)
class FixedConfig(PaperConfig):
    """The baseline of fixed GOPs: as the paper's front end, but cut into windows of equal length."""

    front_end: ClassVar[str] = "ippp"


@dataclass(frozen=True)
class ReleasedConfig(CanvasConfig):
    """The released chain, what the published checkpoint is fed; `num_canvases` only sets `num_candidates`.

    Attributes:
        num_candidates: candidate frames; None is 8 for each of `num_canvases`.
        max_group_frames: longest group, in candidate frames (the paper's evaluation used 128).
        threshold: what the best blocks of a group have to add up to; None estimates it from the video.
        grid: bit maps, "adaptive" or "sub" (the paper's evaluation), see `released.GRIDS`.
        avoid_keyframes: candidates are moved off key frames.
    """

    front_end: ClassVar[str] = "released"
    num_candidates: int | None = None
    max_group_frames: int = released.MAX_FRAMES
    threshold: float | None = None
    grid: str = "adaptive"
    avoid_keyframes: bool = True

    def __post_init__(self):
        super().__post_init__()
        self._choose("grid", released.GRIDS)
        self._choose("avoid_keyframes", (True, False))
        self._whole(max_group_frames=released.MIN_FRAMES)
        if self.num_candidates is not None:
            self._whole(num_candidates=1)
        if self.threshold is not None:
            self._real("threshold")
        if self.num_canvases < CANVASES_PER_GROUP:
            raise Ov2Error(
                f"num_canvases={self.num_canvases}; the released front end makes groups of 4 canvases, ask for 4 or more"
            )


FRONT_ENDS: dict[str, type[PaperConfig] | type[ReleasedConfig]] = {
    kind.front_end: kind for kind in (PaperConfig, FixedConfig, ReleasedConfig)
}


def front_end_config(
    front_end: str, num_canvases: int, max_pixels: int, patch_size: int, **options
) -> PaperConfig | ReleasedConfig:
    """The configuration of a front end by name.

    Raises:
        Ov2Error: no such front end, an option that it does not have, or a value that makes no sense.
    """
    if front_end not in FRONT_ENDS:
        raise Ov2Error(f"front_end is {front_end!r}; use one of {', '.join(FRONT_ENDS)}")
    names = [field.name for field in fields(FRONT_ENDS[front_end])]
    if unknown := sorted(options.keys() - set(names)):
        raise Ov2Error(f"{unknown[0]} is no option of the {front_end} front end; it takes {', '.join(names)}")
    return FRONT_ENDS[front_end](num_canvases, max_pixels, patch_size, **options)

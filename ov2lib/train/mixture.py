"""A stage's samples: its sources read one after another, every open option filled in.

How often a sample is drawn is decided by epoch, in `ov2lib.train.bins.MixSampler`.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ..errors import TrainingError
from ..samples.media import stated_backend
from ..samples.readers import read_source
from ..samples.report import Report
from ..samples.sample import Sample
from .stages import FRAMES_PER_CANVAS, Source, StageConfig


def source_samples(
    config: StageConfig, data: Mapping[str, str], media_dir: Path, report: Report
) -> dict[str, Iterable[Sample]]:
    """The samples of every source of the stage, by its name.

    Raises:
        TrainingError: a source without data, or data for no source.
    """
    if unknown := sorted(data.keys() - {source.name for source in config.sources}):
        names = ", ".join(source.name for source in config.sources)
        raise TrainingError(f"--data names {unknown[0]!r}, which {config.label} does not read; it reads {names}")
    streams: dict[str, Iterable[Sample]] = {}
    for source in config.sources:
        if source.name not in data:
            raise TrainingError(
                f"no data for {source.name!r}; pass --data {source.name}=PATH (data_cards/{source.card}.md says how to get it)"
            )
        stream = read_source(os.fspath(data[source.name]), media_dir, report)
        streams[source.name] = _resolved(islice(stream, source.samples), source, config)
    return streams


def _resolved(samples: Iterable[Sample], source: Source, config: StageConfig) -> Iterable[Sample]:
    return (resolve(sample, source, config) for sample in samples)


def resolve(sample: Sample, source: Source, config: StageConfig) -> Sample:
    """The sample with every option that its media leave open filled in from its source and stage."""
    media = []
    for item in sample.media:
        options: dict = {}  # images keep the processor's own bounds
        if item.kind == "video":
            backend = stated_backend(item.options) or source.backend
            backend = backend or choose_backend(sample.id, config.input_ratio, config.seed)
            options = {"video_backend": backend, "max_pixels": config.max_pixels}
            if backend == "codec":
                most = source.num_canvases or (source.max_frames or 0) // FRAMES_PER_CANVAS or None
                options |= {"front_end": config.front_end, "num_canvases": most}
                if source.fps and "num_canvases" not in item.options:
                    options["seconds_per_canvas"] = FRAMES_PER_CANVAS / source.fps
            elif "num_frames" not in item.options:
                options |= {"fps": source.fps, "num_frames": source.max_frames}
            options = {name: value for name, value in options.items() if value is not None}
        media.append(replace(item, options=options | item.options))
    return replace(sample, media=tuple(media))


def choose_backend(sample_id: str, ratio: Mapping[str, float], seed: int = 0) -> str:
    """The front end of a sample's videos, "codec" or "frames", where its media and its source name none.

    A sample keeps its front end in every epoch, process and order of the data, and raising one front end's share moves
    samples to it and none away.

    Args:
        sample_id: the sample's id.
        ratio: a stage's input ratio. "codec" and "frames" are compared; how many samples are images is a matter of the sources.
        seed: gives another assignment.
    """
    codec, frames = ratio.get("codec", 0.0), ratio.get("frames", 0.0)
    digest = hashlib.blake2b(f"{seed}/{sample_id}".encode(errors="surrogatepass"), digest_size=8).digest()
    return "codec" if int.from_bytes(digest) / 2**64 < codec / (codec + frames) else "frames"

"""A stage's samples in training order: its sources read, every open option filled in, interleaved by weight."""

import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ..errors import TrainingError
from ..samples.media import stated_backend
from ..samples.readers import read_hf, read_jsonl, read_webdataset
from ..samples.report import Report
from ..samples.sample import Sample
from .mixing import choose_backend, mix
from .stages import Source, StageConfig


def source_samples(config: StageConfig, data: Mapping[str, str], media_dir: Path, report: Report) -> Iterable[Sample]:
    """The stage's mixture, in training order.

    Raises:
        TrainingError: a source without data, or data for no source.
    """
    if unknown := sorted(data.keys() - {source.name for source in config.sources}):
        names = ", ".join(source.name for source in config.sources)
        raise TrainingError(f"--data names {unknown[0]!r}, which stage {config.stage} does not read; it reads {names}")
    streams = {}
    for source in config.sources:
        if source.name not in data:
            raise TrainingError(
                f"no data for {source.name!r}; pass --data {source.name}=PATH (data_cards/{source.card}.md says how to get it)"
            )
        stream = read_source(os.fspath(data[source.name]), media_dir, report)
        streams[source.name] = _resolved(islice(stream, source.samples), source, config)
    return mix(streams, config.weights(), config.seed)


def read_source(place: str, media_dir: Path, report: Report) -> Iterable[Sample]:
    """Samples of a JSONL file, of tar shards (one, a folder of them, or a pattern), or else of a Hugging Face dataset."""
    if place.endswith((".jsonl", ".json")):
        return read_jsonl(place, report)
    shards = sorted(glob.glob(os.path.join(place, "*.tar*") if os.path.isdir(place) else place))
    if shards and all(".tar" in Path(shard).suffixes for shard in shards):
        return read_webdataset(shards, media_dir, report)
    return read_hf(place, media_dir, report)


def _resolved(samples: Iterable[Sample], source: Source, config: StageConfig) -> Iterable[Sample]:
    return (resolve(sample, source, config) for sample in samples)


def resolve(sample: Sample, source: Source, config: StageConfig) -> Sample:
    """The sample with every option that its media leave open filled in from its source and stage."""
    media = []
    for item in sample.media:
        options = {}  # images keep the processor's own bounds
        if item.kind == "video":
            backend = stated_backend(item.options) or source.backend
            backend = backend or choose_backend(sample.id, config.input_ratio, config.seed)
            codec = {"front_end": config.front_end} | ({"num_canvases": source.num_canvases} if source.num_canvases else {})
            frames = {"num_frames": source.max_frames} if source.max_frames else {}
            options = {"max_pixels": config.max_pixels, "video_backend": backend} | (codec if backend == "codec" else frames)
        media.append(replace(item, options=options | item.options))
    return replace(sample, media=tuple(media))

"""Train a stage of the mini world: write its samples and its first model to disk, and hand both to `ov2lib.train`."""

import json
from pathlib import Path

from ov2lib.errors import TrainingError
from ov2lib.files import whole_file, whole_folder
from ov2lib.train.run import train
from ov2lib.train.stages import StageConfig
from ov2lib.train.start import result_of, run_folder

from ..world.tasks import stage_samples
from .pretrain import mini_start


def train_mini(config: StageConfig, output: Path, start: Path | None = None, media_dir: Path | None = None) -> Path:
    """Train one stage, as `ov2lib.train.run.train` does, on samples of the mini world.

    Args:
        config: of `mini_stage`, or changed with `dataclasses.replace`.
        output: folder of all runs.
        start: model to start from; None takes the stage before, and for stage 1 a model with a pretrained encoder.
        media_dir: cache of tokenized clips; None is `OUTPUT/media`.

    Returns:
        the folder of the saved model or adapter.

    Raises:
        TrainingError: the stage before has not been trained; a run of another configuration in the same folder.
    """
    if start is None and config.stage > 1 and not result_of(run_folder(output, config.stage - 1, "full", config.scale)):
        before = f"python -m kit.school train --stage {config.stage - 1} --output {output}"
        raise TrainingError(f"stage {config.stage} starts from the result of the stage before; run `{before}` first")
    folder = output.absolute() / "mini"
    data = {source.name: str(_write_stage(config, source.samples, folder)) for source in config.sources}
    if start is None and config.stage == 1:
        start = write_start(folder / f"start-{config.seed}", config.seed)
    return train(config, output, start, data, media_dir)


def write_samples(samples, path: Path) -> Path:
    """Write samples as JSONL, one a line, which `ov2 evaluate` and `ov2 train --data` read."""
    with whole_file(path) as file:
        file.writelines(json.dumps(sample.to_json()).encode() + b"\n" for sample in samples)
    return path


def write_start(folder: Path, seed: int) -> Path:
    """A mini model with a pretrained encoder and a fresh language model, and its processor."""
    if not (folder / "config.json").is_file():
        model, processor = mini_start(seed)
        with whole_folder(folder, TrainingError) as scratch:
            model.save_pretrained(scratch)
            processor.save_pretrained(scratch)
    return folder


def _write_stage(config: StageConfig, samples: int, folder: Path) -> Path:
    path = folder / f"stage{config.stage}-{samples}-{config.seed}.jsonl"
    return path if path.is_file() else write_samples(stage_samples(config.stage, "train", samples, config.seed), path)

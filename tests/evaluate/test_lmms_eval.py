"""Full-scale commands and result files: settings as published, numbers whole, nothing imported."""

import json
import shlex
import subprocess
import sys

import pytest

from ov2lib import reported
from ov2lib.errors import EvaluationError
from ov2lib.evaluate import lmms_eval

SNAPSHOT = "/cache/models--lmms-lab-encoder--LLaVA-OneVision-2-8B-Instruct/snapshots/5a75eaf7aabbccdd"
FRAMES = "max_num_frames=128,min_pixels=153664,max_pixels=153664,fps=1,video_backend=frames"


def model_args(command):
    return dict(pair.split("=") for pair in command.argv[command.argv.index("--model_args") + 1].split(","))


def test_jumpscore_command_holds_the_published_settings():
    (command,) = lmms_eval.commands("JumpScore", output="runs", processes=2)
    assert model_args(command) == {
        "pretrained": lmms_eval.CHECKPOINT, "trust_remote_code": "True", "attn_implementation": "flash_attention_2",
        "messages_format": "timestamp", "timestamp_decimals": "2", "fps": "1", "max_num_frames": "128",
        "min_pixels": "100352", "max_pixels": "313600", "video_backend": "codec", "codec_target_canvas": "128",
    }  # fmt: skip
    assert command.argv[:5] == ("accelerate", "launch", "--num_processes=2", "-m", "lmms_eval")
    assert command.argv[command.argv.index("--tasks") + 1] == "JumpScore"
    assert command.env["LLAVA_CODEC_ONLINE_TUNED"] == "1"
    assert command.reported == 75.49


def test_frames_commands_and_subtitles():
    short, medium, long = lmms_eval.commands("VideoMME (w/ sub)")
    assert [c.split for c in (short, medium, long)] == ["short", "medium", "long"]
    assert model_args(medium)["max_num_frames"] == "448"
    assert model_args(medium)["min_pixels"] == model_args(medium)["max_pixels"] == "128164"
    assert long.env["LMMS_IL_NOPREFIX"] == "1" and "LLAVA_CODEC_ONLINE_TUNED" not in long.env
    assert "LMMS_IL_NOPREFIX" not in lmms_eval.commands("LVBench")[0].env
    assert [c.backend for c in lmms_eval.commands("t/Charades")] == ["frames", "codec"]


def test_a_command_reads_back_from_its_shell_line():
    (command,) = lmms_eval.commands("JumpScore", model="/my models/ov2")
    words = shlex.split(str(command))
    assert words[:4] == ["python", "-c", lmms_eval.GUARD, "&&"]
    assert words[4] == "env" and tuple(words[5 + len(command.env) :]) == command.argv
    assert str(lmms_eval.commands("LVBench")[0]).startswith("env ")  # frames need no guard


@pytest.mark.parametrize(
    ("arguments", "stops"),
    [("self, use_codec=False, **kwargs", True), ('self, video_backend: str = "frames", **kwargs', False)],
)
def test_a_codec_command_stops_where_the_harness_ignores_the_backend(tmp_path, arguments, stops):
    wrapper = tmp_path / "lmms_eval" / "models" / "chat" / "llava_onevision2.py"
    wrapper.parent.mkdir(parents=True)
    wrapper.write_text(f"class Llava_OneVision2:\n    def __init__({arguments}): pass\n")
    done = subprocess.run([sys.executable, "-c", lmms_eval.GUARD], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode != 0) == stops and ("would sample frames" in done.stderr) == stops


def test_the_blind_arm_changes_the_launcher_and_the_folder_only():
    for seen, blind in zip(lmms_eval.commands(), lmms_eval.commands(blind=True), strict=True):
        assert blind.argv[4] == "ov2lib.evaluate.blind" and seen.argv[4] == "lmms_eval"
        assert blind.argv[5:-1] == seen.argv[5:-1] and blind.env == seen.env
        assert blind.argv[-1] == seen.argv[-1].rstrip("/") + "_blind/"


def test_every_reported_row_has_a_command_or_says_why_not():
    table = lmms_eval.command_table()
    assert list(dict.fromkeys(row["benchmark"] for row in table)) == list(reported.benchmarks().index)
    published = {row["benchmark"] for row in reported.rows("guide")}
    for row in table:
        assert (row["command"] == lmms_eval.NOT_LISTED) == (row["benchmark"] not in published)
    assert len({tuple(row) for row in map(sorted, table)}) == 1  # the same fields in every row
    assert lmms_eval.commands("DocVQA") == ()


def write(folder, results, args=f"pretrained={SNAPSHOT},{FRAMES}", name="20260105_101112_results.json", **config):
    data = {
        "results": results,
        "config": {"model": "llava_onevision2", "model_args": args, "limit": None, "offset": 0} | config,
        "date": "20260105_101112",
        "lmms_eval_version": "main@abcdef12",
    }
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def scores(metric, value, samples=10):
    return {"alias": "x", f"{metric},none": value, f"{metric}_stderr,none": "N/A", "samples": samples}


def test_a_result_file_becomes_a_reproduced_row(tmp_path):
    path = write(tmp_path, {"timelens_charades": scores("timelens_mIOU", 53.4), "timelens_IOU": {" ": " "}})
    (result,) = lmms_eval.read_results(path)
    assert (result.benchmark, result.value, result.date) == ("t/Charades", 53.4, "2026-01-05")
    assert (result.revision, result.arm, result.backend) == ("5a75eaf7aabbccdd", "sighted", "frames")
    assert result.differences == () and result.samples == 10
    row = reported.compare([result]).loc["t/Charades"]
    assert row["gap"] == pytest.approx(-0.1) and row["revision"] == "5a75eaf7aabbccdd"


@pytest.mark.parametrize(
    ("task", "metric", "value", "benchmark", "percent"),
    [
        ("JumpScore", "jumpscore_map", 0.7549, "JumpScore", 75.49),
        ("vsibench", "vsibench_overall", 0.7094, "VSI-Bench", 70.94),
        ("mlvu_dev", "mlvu_percetion_score", 76.62, "MLVU-dev", 76.62),
        ("docvqa_val", "anls", 0.952, "DocVQA", 95.2),
        ("videoeval_pro", "videoeval_pro_score", {"overall": 0.6145, "Local Perception": 0.7}, "VideoEval-Pro", 61.45),
        ("rvos_ref_davis17", "rvos_f1", 0.527, "DAVIS (F)", 52.7),
        ("ocrbench", "ocrbench_accuracy", 0.782, "OCRBench", 78.2),
    ],
)
def test_scales_of_the_tasks(tmp_path, task, metric, value, benchmark, percent):
    (result,) = lmms_eval.read_results(write(tmp_path, {task: scores(metric, value)}))
    assert (result.benchmark, result.value) == (benchmark, pytest.approx(percent))


def test_a_folder_is_searched_and_the_second_stage_is_read(tmp_path):
    (tmp_path / "a").mkdir()
    write(tmp_path / "a", {"lvbench": scores("lvbench_score", 0.55)})
    (tmp_path / "rvos_ref_davis17_sam2_metrics.json").write_text(
        json.dumps({"task": "rvos_ref_davis17", "n": 244, "J": 0.5, "F": 0.7, "J&F": 0.6, "HOTA": 0.4})
    )
    found = {result.benchmark: result for result in lmms_eval.read_results(tmp_path)}
    assert found["LVBench"].value == pytest.approx(55.0)
    assert found["DAVIS (J&F)"].value == pytest.approx(60.0)
    assert found["DAVIS (J&F)"].date == found["DAVIS (J&F)"].revision == lmms_eval.NOT_RECORDED


def test_benchmarks_of_many_tasks_need_them_all(tmp_path):
    tasks = {f"blink_{i}": scores("blink_acc", i / 100, samples=i + 1) for i in range(14)}
    (result,) = lmms_eval.read_results(write(tmp_path, tasks | {"blink": {" ": " "}}))
    weights = range(1, 15)
    assert result.value == pytest.approx(sum(w * (w - 1) for w in weights) / sum(weights))
    del tasks["blink_3"]
    with pytest.raises(EvaluationError, match="13 of the 14 tasks of BLINK"):
        lmms_eval.read_results(write(tmp_path, tasks))


def test_departures_from_the_guide_are_named(tmp_path):
    args = "pretrained=x/y,video_backend=codec,codec_target_canvas=64,min_pixels=100352,max_pixels=313600,fps=1"
    (result,) = lmms_eval.read_results(write(tmp_path, {"JumpScore": scores("jumpscore_map", 0.5)}, args))
    assert result.backend == "codec" and result.revision == lmms_eval.NOT_RECORDED
    assert result.differences == ("codec_target_canvas 64, guide 128", "timestamp_decimals its default, guide 2")
    args = {"pretrained": "x/y", "use_codec": True, "revision": "main"}
    (result,) = lmms_eval.read_results(write(tmp_path, {"lvbench": scores("lvbench_score", 0.5)}, args))
    assert result.differences == ("the guide has no codec run of this task",) and result.revision == "main"


def test_a_blind_run_is_marked_and_kept_apart(tmp_path):
    path = write(tmp_path, {"lvbench": scores("lvbench_score", 0.3)}, f"pretrained=x/y,{FRAMES},blind=True")
    (result,) = lmms_eval.read_results(path)
    assert result.arm == "blind"
    assert reported.compare([result])["reproduced"].isna().all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "cannot be read as JSON"),
        ("[]", "known version"),
        ('{"results": {}, "config": {}}', "known version"),
        ('{"task": "rvos_reasonvos", "J&F": 0.5}', "no reported row"),
        ('{"task": "rvos_ref_davis17", "J&F": NaN}', "no score"),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path, text, message):
    path = tmp_path / "x_results.json"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=message):
        lmms_eval.read_results(path)


@pytest.mark.parametrize(
    ("results", "config", "message"),
    [
        ({"egoschema": scores("acc", 0.5)}, {}, "no task of a reported row; it has egoschema"),
        ({"lvbench": scores("accuracy", 0.5)}, {}, "no lvbench_score, it has accuracy"),
        ({"lvbench": scores("lvbench_score", 55.0)}, {}, "known version"),
        ({"lvbench": scores("lvbench_score", "N/A")}, {}, "known version"),
        ({"lvbench": scores("lvbench_score", float("nan"))}, {}, "known version"),
        ({"lvbench": scores("lvbench_score", {"local": 0.5})}, {}, "known version"),
        ({"lvbench": scores("lvbench_score", 0.5)}, {"limit": 8}, "part of its samples"),
        ({"lvbench": scores("lvbench_score", 0.5)}, {"offset": 8}, "part of its samples"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(tmp_path, results, config, message):
    with pytest.raises(EvaluationError, match=message):
        lmms_eval.read_results(write(tmp_path, results, **config))


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(EvaluationError, match="--output_path"):
        lmms_eval.read_results(tmp_path)
    with pytest.raises(EvaluationError, match="no reported row 'Ego'"):
        lmms_eval.commands("Ego")


def test_an_unknown_date_is_kept_as_written(tmp_path):
    path = write(tmp_path, {"lvbench": scores("lvbench_score", 0.5)})
    path.write_text(path.read_text().replace("20260105_101112", "yesterday"))
    assert lmms_eval.read_results(path)[0].date == "yesterday"


def test_scoring_and_reading_import_nothing_heavy():
    code = (
        "import sys; from ov2lib.evaluate import choices, documents, grounding, jumpscore, lmms_eval, spatial, tracking;"
        "lmms_eval.command_table(); sys.exit(bool({'lmms_eval', 'pandas', 'scipy', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

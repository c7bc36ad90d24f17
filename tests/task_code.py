"""Do scores equal those of lmms-eval 0.7.3's own task code? Run by hand, as its dependencies exclude ours:

    pip download --no-deps lmms-eval==0.7.3
    PYTHONPATH=notebooks python tests/task_code.py lmms_eval-0.7.3-py3-none-any.whl

Every protocol with a task there is given 1,000 random and hostile outputs, and a table says how many scores agree. Only the
task modules are loaded; packages that they import and that are missing here are stood in for, as no picture, judge or data set
is asked. Where a task would ask a judge or draw a letter at random, its answer is replaced by "wrong", which is ours.
"""

import argparse
import contextlib
import importlib
import io
import json
import logging
import os
import random
import string
import sys
import tempfile
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np

from ov2lib.evaluate import choices, documents, grounding, jumpscore, points, spatial, tracking

OUTPUTS = 1000
Both = tuple[float | str, float | str]  # a score by the task code, and ours


class StandIn(types.ModuleType):
    """A package that is not installed here: whatever it is asked for, it has."""

    __path__: list[str] = []
    __version__ = "0"

    def __getattr__(self, name: str) -> MagicMock:
        return MagicMock()


def module(name: str) -> types.ModuleType:
    """A module of lmms-eval, with stand-ins for what it misses."""
    while True:
        try:
            return importlib.import_module(f"lmms_eval.{name}")
        except ModuleNotFoundError as error:
            sys.modules[str(error.name)] = StandIn(str(error.name))


def task(name: str) -> types.ModuleType:
    """The module in which a task is written."""
    return module(f"tasks.{name}")


# Outputs


WORDS = (
    "the answer is", "Answer:", "answer", "The best answer is", "option", "choice", "So", "Therefore", "I choose", "not", "or",
    "a", "A man", "because", "Final", "<think>", "</think>", "<answer>", "</answer>", "**", "`", "``", "{", "}", "(", ")", "[",
    "]", ".", ",", ":", ";", "!", "?", "\n", "\t", "-", "to", "and", "é", "İ", "ß", "选", "答案是", "정답은", "１", "½", "nan",
    "inf", "-1", "0", "1,000", "12", "3.5", "99%", "1e3", "00:12", "1:02:03.5", "twenty", "two hundred", "seconds", "null", '"',
    "\\boxed{A}", "\\boxed{\\text{B}}",
)  # fmt: skip


def output(rng: random.Random, more: tuple[str, ...] = ()) -> str:
    """Something a model might write, or might not."""
    if rng.random() < 0.3:
        form = rng.choice(("{}", "({})", "{}.", "{})", "{}: x", "The answer is {}", "**{}**", " {} ", "{}\n", "answer {}"))
        return form.format(rng.choice((*string.ascii_uppercase[:8], "a", "b", *more)))
    marks = [form.format(letter) for form in ("{}", "({})", "{}.") for letter in "ABCDEFGH"]
    pool = ([*marks, *"abcd"], WORDS, more or ("cat", "red"))
    words = [rng.choice(rng.choice(pool)) for _ in range(rng.randrange(12))]
    return rng.choice((" ", "", "\n")).join(words)


NOUNS = ("a cat", "red car.", "Dog", "blue", "the bus", "12", "left of it", "tram", "train", "U.S.", "yes", "no", "(B) x", "A")


def options(rng: random.Random, count: int) -> list[str]:
    """Texts of options, each once."""
    return rng.sample(NOUNS, count)


# Protocols: each gives both scores of one random output


def letter(name: str, function: str, rule: str, count: int, read: Callable, row: Callable) -> Callable:
    """A protocol that reads one of so many letters: `row` makes a document, `read` finds the score in what `function` gives."""

    def both(rng: random.Random) -> Both:
        letters, texts = string.ascii_uppercase[:count], options(rng, count)
        answer, text = rng.choice(letters), output(rng, tuple(texts))
        made = getattr(task(name), function)(Row(row(answer, texts)), [text])
        return float(read(made)), float(choices.extract_letter(text, letters, rule, texts) == answer)

    return both


class Row(dict):
    """A row of a data set that has whatever is asked for."""

    def __missing__(self, key):
        return "x"


def videomme_v2(rng: random.Random) -> Both:
    structures = {"relevance": ["None"], "logic": ["[1,2,3,4]", "[1,[2,3],4]", "[[1,2],3,4]"]}
    theirs, ours = [], []
    for group in range(rng.randrange(1, 5)):
        kind = rng.choice(list(structures))
        row = {"video_id": f"{group:03}", "group_type": kind, "group_structure": rng.choice(structures[kind])}
        for number in range(1, 5):
            texts = options(rng, 8)
            answer, text = rng.choice("ABCDEFGH"), output(rng, tuple(texts))
            if rng.random() < 0.6:
                text = answer
            listed = "\n".join(f"{letter}. {said}" for letter, said in zip("ABCDEFGH", texts, strict=True))
            row = row | {"question_id": f"{group:03}-{number}", "level": rng.randrange(1, 4), "answer": answer}
            made = task("videomme_v2.utils").videomme_v2_process_results(Row(row, options=listed), [text])
            theirs.append(made["videomme_v2_overall_score"])
            said = choices.extract_letter(text, "ABCDEFGH", "videomme_v2", texts)
            ours.append(row | {"score": float(said == answer)})
    return task("videomme_v2.utils").videomme_v2_aggregate_overall_score(theirs) / 100, choices.videomme_v2(ours)["overall"]


def mmbench(rng: random.Random) -> Both:
    rows = []
    for question in range(rng.randrange(1, 5)):
        count = rng.randrange(2, 5)
        texts, true = options(rng, count), rng.randrange(count)
        for turn in range(count):
            turned, answer = texts[turn:] + texts[:turn], string.ascii_uppercase[(true - turn) % count]
            said = rng.choice((answer, answer, turned[(true - turn) % count], output(rng, tuple(turned))))
            row = {"index": question + turn * choices.ROTATION, "prediction": said.strip(), "answer": answer, "options": turned}
            rows.append(row)
    theirs = []
    absent = rng.choice(("nan", None))  # a data set may write either for an option that is not there
    for row in rows:
        named = dict(zip("ABCDE", [*row["options"], *[absent] * 4], strict=False))
        theirs.append({key: row[key] for key in ("index", "prediction", "answer")} | named | {
            "question": "?", "hint": "nan", "source": "x", "split": "dev", "category": "x", "L2-category": "x"})  # fmt: skip
    judge = task("mmbench.mmbench_evals").MMBench_Evaluator()
    known = [row | {"options": [*row["options"], *["nan"] * 4][:4]} for row in rows] if absent else rows
    return judge.eval_result(theirs, eval_method="static")[0], choices.mmbench(known)


def mmvu(rng: random.Random) -> Both:
    texts = dict(zip("ABCDE", options(rng, 5), strict=True))
    answer, text = rng.choice("ABCDE"), output(rng, tuple(texts.values()))
    doc = {"answer": answer, "question_type": "multiple-choice", "choices": texts, "question": "?"}
    return float(task("mmvu.utils").evaluate_with_rule_based(doc, text)), choices.mmvu(text, answer, texts)


def realworldqa(rng: random.Random) -> Both:
    answer = rng.choice(("A", "b", "C", "D", "12", "Yes", "Downhill", "0"))
    text = rng.choice((output(rng), answer, f" {answer.upper()}. ", output(rng, (answer,))))
    made = task("realworldqa.utils").realworldqa_process_results({"answer": answer}, [text])
    return made["exact_match"], choices.realworldqa(text, answer)


def filtered(name: str, rule: str, count: int, row: Callable, named: bool) -> Callable:
    """A protocol whose letter a filter of the task reads; then case and punctuation do not count. `row` makes its document."""

    def both(rng: random.Random) -> Both:
        letters, texts = string.ascii_uppercase[:count], options(rng, count)
        answer, text = rng.choice(letters), output(rng, tuple(texts))
        listed = "Which?\n" + "\n".join(f"{letter}. {said}" for letter, said in zip(letters, texts, strict=True))
        form = {"group_select": 0, "ignore_case": True, "ignore_punctuation": True, "regex_pattern": r"(\([A-Z]\))"}
        reader = task(f"{name}.utils").MultiChoiceRegexFilter(**form)
        said = reader.apply([[text]], [row(listed, texts)])[0]
        equal = module("api.metrics").exact_match_hf_evaluate([said], [answer], ignore_case=True, ignore_punctuation=True)
        return equal["exact_match"], float(choices.extract_letter(text, letters, rule, texts if named else None) == answer)

    return both


def chartqa(rng: random.Random) -> Both:
    target = rng.choice(("12", "0", "3.5", "50%", "Yes", "nan", "1,000", "-4", "1e3"))
    near = (target, target.lower(), f"{target}%", "12.5", "12.7", "0.5", "inf", output(rng), "49%")
    text = rng.choice(near)
    return float(task("chartqa.utils").relaxed_correctness(text, target)), documents.relaxed_accuracy(text, target)


def ocrbench(rng: random.Random) -> Both:
    formula, answers = rng.random() < 0.3, [rng.choice(("x ^ 2", "Coca Cola", "１２", "STOP\n", "é")) for _ in range(2)]
    text = rng.choice((output(rng, tuple(answers)), f"It says {answers[0].upper()} there", answers[1].replace(" ", "")))
    doc = Row(answer=answers, dataset="HME100k" if formula else "IIIT5K")
    made = task("ocrbench.utils").ocrbench_process_results(doc, [text])["ocrbench_accuracy"]["score"]
    return float(made), documents.contains_answer(text, answers, formula)


def anls(rng: random.Random) -> Both:
    answers = [rng.choice(("March 12, 1999", "the university", "$ 4.50", "É", "a")) for _ in range(2)]
    text = rng.choice((output(rng, tuple(answers)), answers[0].upper(), answers[1][1:] + "s", ""))
    return module("api.metrics").anls(answers, [text])["anls"], documents.anls(text, answers)


def counts(name: str, rule: str) -> Callable:
    def both(rng: random.Random) -> Both:
        target = str(rng.randrange(12))
        word = rng.choice(("zero", "one", "two", "ten", "Eleven"))
        text = rng.choice((target, f"There are {target}.", word, f" {word}. ", output(rng, (target,))))
        doc = Row(answer=target, number=int(target), target=target, label=int(target))
        made = getattr(task(f"{name}.utils"), f"{name}_process_results")(doc, [text])["acc"]
        return made, documents.exact_count(text, target, rule)

    return both


def timelens(rng: random.Random) -> Both:
    span = sorted(round(rng.uniform(0, 200), 1) for _ in range(2))
    first, second = (rng.choice((f"{t:.1f}", f"{int(t // 60)}:{t % 60:04.1f}", f"{int(t)}")) for t in span)
    text = rng.choice((f"From {first} to {second}", f"{first} - {second} s", output(rng, (first, second, "-", "to"))))
    module = task("timelens.utils")
    said = module.extract_time(text)
    theirs = module.iou(said[0], span) if said else 0.0
    ours = grounding.parse_span(text)
    return theirs, grounding.temporal_iou(ours, tuple(span)) if ours else 0.0


def jumps(rng: random.Random) -> Both:
    truth = sorted(round(rng.uniform(0, 30), 2) for _ in range(rng.randrange(1, 12)))
    said = [round(t + rng.choice((0, 0.05, 0.15, 0.25, 1)), 2) for t in truth]
    forms = (json.dumps(said), f"Jumps at {', '.join(map(str, said))}", json.dumps([{"start": t} for t in said]))
    text = rng.choice((*forms, output(rng, tuple(map(str, said)))))
    made = task("jumpscore.utils").jumpscore_process_results(Row(answer=json.dumps(truth)), [text])["jumpscore_map"]["map"]
    return made, jumpscore.score(text, json.dumps(truth)).map


def vsi(rng: random.Random) -> Both:
    module, rows, theirs = task("vsibench.utils"), [], []
    kinds = ("object_counting", "object_abs_distance", "object_size_estimation", "room_size_estimation",
             "object_rel_distance", "object_rel_direction_easy", "object_rel_direction_medium", "object_rel_direction_hard",
             "route_planning", "obj_appearance_order")  # fmt: skip
    for kind in kinds:
        choice = kind in kinds[4:]
        truth = rng.choice("ABCD") if choice else str(rng.choice((1, 2.5, 12, 0.3)))
        text = rng.choice((truth, f"{truth}.", output(rng, (truth,)), "twenty-one", "about 3"))
        rows.append({"question_type": kind, "ground_truth": truth, "prediction": text})
        theirs.append(module.vsibench_process_results(dict(rows[-1]), [text])["vsibench_overall"])
    return module.vsibench_aggregate_overall(theirs), round(spatial.vsi_bench(rows)["overall"], 6)


def revsi(rng: random.Random) -> Both:
    module, rows, theirs = task("revsi.utils"), [], []
    for kind in (*sorted(module.MCQ_QUESTION_TYPES), *sorted(module.NQ_QUESTION_TYPES)):
        truth = rng.choice("ABCD") if kind in module.MCQ_QUESTION_TYPES else str(rng.choice((1, 2.5, 12, 0.3)))
        text = rng.choice((truth, f"{truth}.", output(rng, (truth,)), "twenty-one", "3 m"))
        rows.append({"question_type": kind, "ground_truth": truth, "prediction": text})
        theirs.append(module.revsi_process_results(dict(rows[-1]), [text])["overall_acc"])
    return module.revsi_aggregate_overall(theirs), spatial.revsi(rows)["overall"]


def crosspoint_choice(rng: random.Random) -> Both:
    answer, text = rng.choice("ABCD"), output(rng, tuple(options(rng, 4)))
    theirs = task("crosspoint_bench.utils")._score(text, {"type": "Correspondence-Judgement", "answer": answer})
    return float(theirs), float(choices.extract_letter(text, "ABCD", "crosspoint") == answer)


def crosspoint(rng: random.Random) -> Both:
    said = f"[{rng.randrange(-9, 1100)}, {rng.randrange(1100)}]"
    text = rng.choice((said, f'{{"point_2d": {said}}}', f"({said[1:-1]})", output(rng, (said, *said.strip("[]").split(", ")))))
    theirs, ours = task("crosspoint_bench.utils")._extract_coordinates(text), points.parse_point(text)
    return repr(theirs), repr(ours)


def points_of_frame(rng: random.Random) -> Both:
    size = (40, 60)
    masks = [rng_mask(rng, size) for _ in range(rng.randrange(1, 4))]
    truth = [(rng.uniform(0, 60), rng.uniform(0, 40)) for _ in range(rng.randrange(len(masks) + 1))]
    said = [(rng.uniform(-5, 65), rng.uniform(-5, 45)) for _ in range(rng.randrange(4))]
    return task("rvos.utils")._evaluate_frame(said, truth, masks)[2], tracking.point_f1(said, truth, masks).f1


def rng_mask(rng: random.Random, size: tuple[int, int]) -> np.ndarray:
    mask, (row, column) = np.zeros(size, bool), (rng.randrange(30), rng.randrange(50))
    mask[row : row + rng.randrange(1, 20), column : column + rng.randrange(1, 30)] = True
    return mask


def tracks(rng: random.Random) -> Both:
    spot = " ".join(f"{n} {rng.randrange(-5, 1100)} {rng.randrange(1100)}" for n in range(rng.randrange(4)))
    coords = ";".join(rng.choice((f"{rng.randrange(9)}.0 {spot}", output(rng, (spot, ";", "1")), spot)) for _ in range(3))
    written = f'<tracks coords="{coords}">cat</tracks>'
    text = rng.choice((written, coords, output(rng, (written,))))
    theirs = {entry["time"]: {key: tuple(spot["point"]) for key, spot in entry["points"].items()}
              for entry in task("rvos.utils").parse_xml_tracks(text, 1000, 1000, 30)}  # fmt: skip
    return repr(theirs), repr(tracking.parse_tracks(text))


# row of the tables: module, function, rule, letters, where the score stands, what of the document the task reads
LETTERS = {
    "VideoMME": ("videomme.utils", "videomme_process_results", "priority", 4,
                 lambda made: made["videomme_perception_score"]["score"], lambda a, texts: {"answer": a}),
    "MLVU-dev": ("mlvu.utils", "mlvu_process_results", "priority", 4,
                 lambda made: len({made["mlvu_percetion_score"][key] for key in ("pred_answer", "answer")}) == 1,
                 lambda a, texts: {"answer": a}),
    "LVBench": ("lvbench.utils", "lvbench_process_results", "priority", 4,
                lambda made: made["lvbench_score"], lambda a, texts: {"answer": a}),
    "LongVideoBench": ("longvideobench.utils", "longvideobench_process_results", "first_capital", 5,
                       lambda made: len({made["lvb_acc"][key] for key in ("parsed_pred", "answer")}) == 1,
                       lambda a, texts: {f"option{n}": text for n, text in enumerate(texts)} | {"correct_choice": ord(a) - 65}),
    "VideoEval-Pro, as released": ("videoevalpro.utils", "videoevalpro_mcq_process_results", "priority", 5,
                                   lambda made: made["videoevalpro_mcq_score"]["correct"],
                                   lambda a, texts: {"answer": a, "options": texts}),
    "MMOU": ("mmou.utils", "mmou_process_results_scored", "standalone", 10,
             lambda made: made["mmou_accuracy"]["score"],
             lambda a, texts: {"correct_option_letter": a, "video_duration": 1, "question_type": []}),
    "MV-Bench": ("mvbench.utils", "mvbench_process_results", "mvbench", 4,
                 lambda made: made["mvbench_accuracy"]["score"],
                 lambda a, texts: {"candidates": texts, "answer": texts[ord(a) - 65]}),
    "NextQA": ("nextqa.utils", "nextqa_mc_process_results", "nextqa", 5,
               lambda made: made["exact_match"],
               lambda a, texts: {f"a{n}": text for n, text in enumerate(texts)} | {"answer": ord(a) - 65}),
    "TempCompass-MC": ("tempcompass.utils", "tempcompass_process_results_multi_choice", "prefix", 4,
                       lambda made: made["avg_accuracy"]["rating"],
                       lambda a, texts: {"answer": f"{a}. {texts[ord(a) - 65]}"}),
    "ERQA": ("erqa.utils", "erqa_process_results", "priority", 4,
             lambda made: made["erqa_acc"]["is_correct"], lambda a, texts: {"answer": a}),
    "CV-Bench 2D, 3D": ("cv_bench.utils", "cv_bench_process_results", "first_letter", 6,
                        lambda made: made["cv_bench_acc"]["is_correct"], lambda a, texts: {"answer": f"({a})"}),
    "EmbSpatial": ("embspatial.utils", "embspatial_process_results", "first_letter", 4,
                   lambda made: made["embspatial_acc"]["is_correct"], lambda a, texts: {"answer": ord(a) - 65}),
    "MMSI-Bench": ("mmsi_bench.utils", "msr_process_results", "mmsi", 4,
                   lambda made: made["average"]["score"], lambda a, texts: {"answer": a}),
    "BLINK": ("blink.utils", "blink_process_results", "statement", 4,
              lambda made: made["blink_acc"]["is_correct"], lambda a, texts: {"answer": f"({a})", "choices": texts}),
    "MMStar": ("mmstar.utils", "mmstar_process_results", "priority", 4,
               lambda made: made["average"]["score"], lambda a, texts: {"answer": a}),
    "V*": ("vstar_bench.utils", "vstar_process_results", "vstar", 4,
           lambda made: made["vstar_overall_acc"]["score"], lambda a, texts: {"label": a}),
}  # fmt: skip
FILTERS = {
    "AI2D": ("ai2d", "ai2d", 4, lambda listed, texts: {}, False),
    "CRPE": ("crpe_relation", "crpe", 4, lambda listed, texts: {"text": listed}, True),
    "MetaVQA": ("metavqa", "first_word", 4, lambda listed, texts: {"question": listed}, True),
    "SAT": ("sat", "first_word", 2, lambda listed, texts: {"question": "Which?"}, False),
}
OTHERS = {
    "VideoMME-v2-64 (groups)": videomme_v2, "MMBench_en (circular)": mmbench, "MMVU-val": mmvu, "RealWorldQA": realworldqa,
    "CrossPoint, choices": crosspoint_choice, "CrossPoint, points": crosspoint, "t/ …": timelens, "JumpScore": jumps,
    "VSI-Bench": vsi, "ReVSI": revsi, "DocVQA, InfoVQA": anls, "ChartQA": chartqa, "OCRBench": ocrbench,
    "CountBench": counts("countbench", "whole_answer"), "Pixmo_Count": counts("pixmo_count", "first_integer"),
    "… (F), one frame": points_of_frame, "… (F), the answer": tracks,
}  # fmt: skip


def protocols() -> dict[str, Callable]:
    """By row of the reported tables; whatever a task would ask a judge, or draw at random, is wrong."""
    task("tempcompass.utils").get_eval_result = lambda *args: ("asked", 0)
    for name in ("longvideobench.utils", "nextqa.utils"):
        task(name).random = MagicMock(choice=lambda letters: "?")
    letters = {row: letter(*how) for row, how in LETTERS.items()}
    return letters | {row: filtered(*how) for row, how in FILTERS.items()} | OTHERS


def compare(both: Callable, count: int) -> tuple[list[int], int]:
    """Numbers of the outputs on which the two scores differ, and how many different scores there were."""
    apart, seen = [], set()
    for number in range(count):
        theirs, ours = both(random.Random(number))
        same = theirs == ours if isinstance(theirs, str) else abs(theirs - ours) < 1e-6
        apart += [] if same else [number]
        seen.add(theirs)
    return apart, len(seen)


def main() -> None:
    """Compare all protocols, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--outputs", type=int, default=OUTPUTS, help="of each protocol")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # 1. The task modules, without the packages around them
        zipfile.ZipFile(args.wheel).extractall(folder)
        for name in ("lmms_eval", "lmms_eval.tasks", "lmms_eval.api"):
            sys.modules[name] = package = types.ModuleType(name)
            package.__path__ = [str(Path(folder, *name.split(".")))]
        os.environ["HF_HOME"] = folder
        logging.disable()
        # 2. Each protocol
        for row, both in protocols().items():
            with contextlib.redirect_stdout(io.StringIO()):
                apart, seen = compare(both, args.outputs)
            agreed = f"{args.outputs - len(apart)} of {args.outputs} agree ({seen} different scores)"
            print(f"{row:<28}{agreed}{f', not numbers {apart[:5]}' if apart else ''}", flush=True)


if __name__ == "__main__":
    main()

"""`ov2 check mine.jsonl --from MODEL`: what training would skip and why, and what it would cost, before anything runs."""

import argparse
import json

from ..samples.report import MAX_BAD_SHARE, Report
from . import plan as planning

SHOWN = 5  # ids listed of each reason


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `ov2 check`: those of `ov2 plan`."""
    parser.add_argument("places", nargs="*", metavar="[NAME=]PLACE[:SHARE]", help="as --data")
    planning.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the report and the plan; status 1 where training would stop because too much is bad."""
    args.data = args.places + args.data
    plan, prepared, report = planning.plan_own(args)
    facts = report.to_json()
    if args.json:
        print(json.dumps({"report": facts, "data": prepared.summary, "plan": planning.plan_json(plan)}, indent=2))
    else:
        print(format_report(report))
        print("\n" + planning.format_plan(plan))
    return 1 if report.skipped > MAX_BAD_SHARE * report.rows else 0


def format_report(report: Report) -> str:
    """How many samples are good, and the others by reason."""
    good = report.rows - report.skipped
    lines = [f"{report.rows:,} samples: {good:,} can be used, {report.skipped:,} would be skipped"]
    for reason in report.to_json()["reasons"]:
        names = ", ".join(reason["ids"][:SHOWN]) + (", …" if reason["count"] > SHOWN else "")
        lines.append(f"  {reason['count']:,} x {reason['reason']}: {names}")
    if report.skipped > MAX_BAD_SHARE * report.rows:
        lines.append(
            f"more than {MAX_BAD_SHARE:.0%}: repair them, or train with --max-bad-share {report.skipped / report.rows:.2g}"
        )
    return "\n".join(lines)

"""How far the front ends are from a bare decode: `python tests/benchmarks/front_ends.py`.

Every figure is a ratio within one run: the same file decoded by PyAV on one thread, nothing else, is 1. Medians over a few
rounds in which all contestants take turns. The long clips are ten seconds of rendered 720p in each codec, their packets
repeated sixty times; each measurement of them has a process of its own, which tells its processor time and memory too.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av

from kit.world import camera_cuts
from kit.world.cache import cache_dir
from ov2lib import tokenize_video
from ov2lib.codec.config import PaperConfig
from ov2lib.codec.frontend import partition_packets
from ov2lib.video.encode import open_encoder
from ov2lib.video.source import read_packets

BEACH = Path(__file__).parents[1] / "data" / "beach_360x640_h264.mp4"
FRONT_ENDS = ("paper", "ippp", "released")
CODECS = {  # encoder, container, options
    "hevc": ("libx265", ".mp4", {"preset": "fast", "crf": "26", "x265-params": "log-level=none"}),
    "vp9": ("libvpx-vp9", ".webm", {"crf": "32", "b": "0", "deadline": "good", "cpu-used": "4"}),
    "av1": ("libsvtav1", ".mp4", {"preset": "8", "crf": "35"}),
    "mpeg2": ("mpeg2video", ".ts", {"b": "2000000", "bf": "2"}),
}


def bare_decode(path: Path) -> None:
    """The floor: every frame of the file, one thread, nothing done with it."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1  # libdav1d takes all cores whatever the type says
        for _ in container.decode(stream):
            pass


def repeat(path: Path, times: int) -> Path:
    """The same clip `times` over, without encoding it again."""
    target = path.with_name(f"{path.stem}_x{times}{path.suffix}")
    if target.exists():
        return target
    scratch = target.with_name(f"part-{target.name}")
    with av.open(str(path)) as source, av.open(str(scratch), "w") as sink:
        # 1. The clip's packets, and how long it is
        stream = source.streams.video[0]
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in source.demux(stream) if p.size]
        shown = sorted(pts for _, pts, _, _ in packets)
        length = round((shown[-1] - shown[0]) * len(shown) / (len(shown) - 1))
        # 2. Written one after the other
        out = sink.add_stream_from_template(stream, opaque=True)  # some decoders have no encoder of their name
        for round_ in range(times):
            for data, pts, dts, key in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = out, stream.time_base, key
                packet.pts, packet.dts = pts + round_ * length, dts + round_ * length
                sink.mux(packet)
    return scratch.rename(target)


def recoded(clip: Path, codec: str, name: str) -> Path:
    """A clip encoded anew, kept in the cache."""
    encoder, suffix, options = CODECS[codec]
    target = cache_dir() / f"{name}-{codec}{suffix}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f"part-{target.name}")
    with av.open(str(clip)) as source, av.open(str(scratch), "w") as sink:
        stream = source.streams.video[0]
        rate = round(stream.average_rate)
        out = sink.add_stream(encoder, rate=rate, options=options)
        (out.height, out.width), out.pix_fmt = (stream.height, stream.width), "yuv420p"
        open_encoder(out.codec_context)
        for index, frame in enumerate(source.decode(video=0)):
            frame.pts, frame.time_base, frame.pict_type = index, Fraction(1, rate), 0
            sink.mux(out.encode(frame))
        sink.mux(out.encode(None))
    return scratch.rename(target)


def seconds(work) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratios(path: Path, rounds: int) -> dict[str, float]:
    """Wall time of each front end over a bare decode, both as medians."""
    works = {"decode": lambda: bare_decode(path)}
    works |= {name: lambda name=name: tokenize_video(path, front_end=name) for name in FRONT_ENDS}
    times = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    floor = statistics.median(times.pop("decode"))
    return {"decode, seconds": floor} | {name: statistics.median(t) / floor for name, t in times.items()}


def partition_speed(path: Path) -> tuple[float, float]:
    """Seconds of video partitioned per second: from the file, and from its packets."""
    packets = read_packets(path)
    config = PaperConfig()
    from_file = min(seconds(lambda: partition_packets(read_packets(path), config)) for _ in range(3))
    from_packets = min(seconds(lambda: partition_packets(packets, config)) for _ in range(3))
    return packets.duration / from_file, packets.duration / from_packets


def alone(work: str, path: Path) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak resident MiB of a process that does nothing but `work` on the file."""
    call = f"bare_decode(Path({str(path)!r}))" if work == "decode" else f"tokenize_video({str(path)!r}, {work!r})"
    code = f"import time; from front_ends import *; start = time.perf_counter(), time.process_time(); {call};"
    code += "print(time.perf_counter() - start[0], time.process_time() - start[1]);"
    code += "print(open('/proc/self/status').read())"  # its high-water mark; getrusage would count this process in
    folder = Path(__file__).parent
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=folder).stdout
    wall, processor = out.split()[:2]
    return float(wall), float(processor), int(out.split("VmHWM:")[1].split()[0]) / 1024


def long_clips(rounds: int) -> None:
    """Print what ten minutes of 1280x720 take in each codec, and how much less memory ten seconds of them need."""
    short = camera_cuts(10, size=(720, 1280), gop=250).path
    shorts = {"h264": short} | {codec: recoded(short, codec, short.stem) for codec in CODECS}
    for codec, short in shorts.items():
        long = repeat(short, 60)
        floor = [*map(statistics.median, zip(*(alone("decode", long) for _ in range(rounds)), strict=True))]
        print(f"10 min, 1280x720, {codec}: decode {floor[0]:.1f} s, of processor {floor[1]:.1f} s", flush=True)
        for front_end in FRONT_ENDS:
            wall, processor, peak = map(statistics.median, zip(*(alone(front_end, long) for _ in range(rounds)), strict=True))
            times = f"{wall / floor[0]:.2f}, of processor time {processor / floor[1]:.2f}"
            print(f"  {front_end}: {times}; {peak:.0f} MiB, of 10 s {alone(front_end, short)[2]:.0f} MiB", flush=True)


def short_clips(rounds: int) -> None:
    """Print the ratios on the beach clip in each codec."""
    files = {"beach, 16 s, 360x640": BEACH} | {f"the same in {codec}": recoded(BEACH, codec, "beach") for codec in CODECS}
    for name, path in files.items():
        row = ratios(path, rounds)
        print(f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in row.items()))
        print("  partition alone, times real time: from the file {:.0f}, from packets {:.0f}".format(*partition_speed(path)))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="on the short clip; 0 leaves it out")
    parser.add_argument("--long-rounds", type=int, default=3)
    parser.add_argument("--short-only", action="store_true")
    args = parser.parse_args()
    machine, cores = platform.processor() or platform.machine(), len(os.sched_getaffinity(0))
    print(f"{machine}, {cores} cores, Python {platform.python_version()}, av {av.__version__}", flush=True)
    if args.rounds:
        short_clips(args.rounds)
    if not args.short_only:
        long_clips(args.long_rounds)


if __name__ == "__main__":
    main()

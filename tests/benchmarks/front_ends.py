"""How far the front ends are from a bare decode: `python tests/benchmarks/front_ends.py`.

Every figure is a ratio within one run: the same file decoded by PyAV on one thread, nothing else, is 1. Medians over a few
rounds in which all contestants take turns. The long clip is one minute of rendered 720p, repeated ten times by remuxing.
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
    target = path.with_name(f"{path.stem}_x{times}.mp4")
    if target.exists():
        return target
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in source.demux(stream) if p.size]
        length = int(stream.duration)
        with av.open(str(target) + ".part", "w", format="mp4") as sink:
            out = sink.add_stream_from_template(stream)
            for round_ in range(times):
                for data, pts, dts, key in packets:
                    packet = av.Packet(data)
                    packet.stream, packet.time_base = out, stream.time_base
                    packet.pts, packet.dts = pts + round_ * length, dts + round_ * length
                    packet.is_keyframe = key
                    sink.mux(packet)
    os.replace(str(target) + ".part", target)
    return target


def recoded(codec: str) -> Path:
    """The beach clip encoded anew, kept in the cache."""
    encoder, suffix, options = CODECS[codec]
    target = cache_dir() / f"beach-{codec}{suffix}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f"part-{target.name}")
    with av.open(str(BEACH)) as source, av.open(str(scratch), "w") as sink:
        out = sink.add_stream(encoder, rate=30, options=options)
        (out.height, out.width), out.pix_fmt = (640, 360), "yuv420p"
        open_encoder(out.codec_context)
        for index, frame in enumerate(source.decode(video=0)):
            frame.pts, frame.time_base, frame.pict_type = index, Fraction(1, 30), 0
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


def peak_memory(path: Path, front_end: str) -> float:
    """Peak resident MiB of a process that does nothing but tokenize the file."""
    code = f"import ov2lib; ov2lib.tokenize_video({str(path)!r}, {front_end!r});"
    code += "print(open('/proc/self/status').read())"  # its high-water mark; getrusage would count this process in
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return int(out.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--long-rounds", type=int, default=3)
    parser.add_argument("--short-only", action="store_true")
    args = parser.parse_args()
    machine, cores = platform.processor() or platform.machine(), len(os.sched_getaffinity(0))
    print(f"{machine}, {cores} cores, Python {platform.python_version()}, av {av.__version__}")
    files = [("beach, 16 s, 360x640", BEACH, args.rounds)]
    files += [(f"the same in {codec}", recoded(codec), args.rounds) for codec in CODECS]
    if not args.short_only:
        minute = camera_cuts(60, size=(720, 1280), gop=250).path
        long = repeat(minute, 10)
        files.append(("10 min, 1280x720", long, args.long_rounds))
    for name, path, rounds in files:
        row = ratios(path, rounds)
        print(f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in row.items()))
        print("  partition alone, times real time: from the file {:.0f}, from packets {:.0f}".format(*partition_speed(path)))
    if not args.short_only:
        for front_end in FRONT_ENDS:
            short, tall = peak_memory(minute, front_end), peak_memory(long, front_end)
            print(f"peak memory, {front_end}: 1 min {short:.0f} MiB, 10 min {tall:.0f} MiB, ratio {tall / short:.2f}")


if __name__ == "__main__":
    main()

"""Evenness and agreement of groups by hand, and the committed study as its notebook reads it."""

import math

import numpy as np
import pytest

from kit.studies import stability
from kit.world import jump_rope
from ov2lib.video.source import read_packets


def test_spread_by_hand():
    assert stability.spread(np.array([3.0, 3.0, 3.0])) == 0
    assert stability.spread(np.array([1.0, 3.0])) == pytest.approx(0.5)
    assert math.isnan(stability.spread(np.zeros(3)))


def test_agreement_by_hand():
    first = np.array([0.0, 4.0, 8.0])
    assert stability.agreement(first, first) == 1
    # 0-2: half of the first group is shared; 2-4: 2 of 8 seconds; 4-8: 4 of 6
    assert stability.agreement(first, np.array([0.0, 2.0, 8.0])) == pytest.approx((2 * 2 / 4 + 2 * 2 / 8 + 4 * 4 / 6) / 8)
    assert stability.agreement(first, np.array([0.0, 8.0])) == pytest.approx(0.5)


@pytest.fixture(scope="module")
def clip():
    made = jump_rope(duration=24, seed=1, size=(96, 160), fps=10)
    return stability.Clip(made.path, "one", "jump rope", made.event_times)


def test_evenness_counts_bytes_and_events_of_each_group(clip):
    packets = read_packets(clip.path)
    part = stability.partitions(packets, 16)[stability.FIXED]
    inner = (packets.frame_times >= 6) & (packets.frame_times < 12)
    share = packets.frame_sizes[inner & (packets.kind[packets.frame_packet] != "I")].sum() / part.costs.sum()
    even = stability.evenness(packets, part, 16, [1.0, 7.0, 13.0, 19.0])
    assert len(part) == 4 and part.costs[1] / part.costs.sum() == pytest.approx(share)
    assert even["bytes"] == pytest.approx(stability.spread(part.costs)) and even["events"] == 0  # four canvases each
    assert stability.evenness(packets, part, 16, [1.0, 2.0, 3.0, 4.0])["events"] == pytest.approx(math.sqrt(3))


def test_fixed_groups_move_only_when_the_start_is_cut_off(clip, tmp_path):
    rows = [row for row in stability.measure(clip, tmp_path) if row["arm"] == stability.FIXED]
    agreement = {(row["change"], row["canvases"]): row["agreement"] for row in rows}
    assert {change for change, _ in agreement} == {stability.SAME, *stability.CHANGES}
    assert all((value < 0.9) == (change == stability.CUT_OFF) for (change, _), value in agreement.items())


def test_a_medley_is_as_long_as_asked_and_has_its_parts_events(tmp_path):
    clip = stability.rendered(stability.STILLS, 30, 2, tmp_path)
    assert read_packets(clip.path).duration == pytest.approx(30)
    assert list(clip.events) == sorted(clip.events) and 0 < clip.events[-1] < 30

"""Time left: unknown at first, right on steady work, and not fooled by bursts, pauses, resumed and repeated stages."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pixelgene.progress import Note, Progress, TimeLeft, event_from


def fed(steps: list[tuple[float, int]], total: int | None = 100) -> TimeLeft:
    """(when, done) of one stage."""
    left = TimeLeft()
    for when, done in steps:
        left.take(Progress("fit", done, total), when)
    return left


def test_nobody_knows_at_first() -> None:
    left = TimeLeft()
    assert left.fraction is None and left.seconds(0) is None
    left.take(Note("hello"))
    left.take(Progress("fit", 0, 100), 10.0)
    left.take(Progress("fit", 5, 100), 12.0)
    assert left.stage == "fit" and left.fraction == 0.05 and left.seconds(12.0) is None
    assert fed([(0, 0), (1, 7), (2, 9)], None).fraction is None
    assert fed([(0, 0), (1, 7), (2, 9)], None).seconds(2.0) is None


@given(st.floats(0.05, 60), st.integers(5, 95), st.floats(0, 10))
def test_steady_work_is_foretold(step_s: float, done: int, later: float) -> None:
    left = fed([(1000 + i * step_s, i) for i in range(done + 1)])
    at = 1000 + done * step_s
    if done * step_s >= 0.5:
        true = (100 - done) * step_s
        assert left.seconds(at) == pytest.approx(true, rel=1e-6)
        assert left.seconds(at + later) == pytest.approx(max(0.0, true - later), rel=1e-6, abs=1e-6)


def test_what_was_done_before_a_kill_says_nothing_of_the_speed() -> None:
    assert fed([(0, 60), (10, 65), (20, 70)]).seconds(20) == pytest.approx(60)


def test_a_stage_that_begins_again_is_judged_afresh() -> None:
    left = fed([(0, 0), (1, 50), (2, 100)])
    left.take(Progress("fit", 0, 100), 3.0)
    assert left.seconds(3.0) is None and left.fraction == 0
    left.take(Progress("fit", 10, 100), 13.0)
    left.take(Progress("fit", 20, 100), 23.0)
    assert left.seconds(23.0) == pytest.approx(80)


def test_a_slower_second_half_is_noticed_and_a_pause_is_forgotten() -> None:
    half = [(float(i), i) for i in range(51)]
    slower = fed(half + [(50 + 10.0 * (i - 50), i) for i in range(51, 71)])
    assert 200 < (slower.seconds(250.0) or 0) <= 300
    pause = [(120.0 + i, i) for i in range(51, 81)]
    assert (fed(half + pause[:1]).seconds(171.0) or 0) > 49
    assert 20 <= (fed(half + pause).seconds(200.0) or 0) < 60


def test_lines_read_back_keep_their_own_time() -> None:
    """A job found again is followed from its file: when things happened counts, not when they are read."""
    lines = [{**Progress("fit", i, 10, values={"r": math.nan}).as_dict(), "time": 100.0 + 7 * i} for i in range(6)]
    lines[3]["values"] = {"r": None}
    left = TimeLeft()
    events = [event_from(line) for line in lines]
    for event in events:
        assert isinstance(event, Progress) and math.isnan(event.values["r"])
        left.take(event)
    assert left.seconds(135.0) == pytest.approx(35)
    assert left.seconds(time.time()) == 0


def test_events_read_back_are_what_they_were() -> None:
    for event in (Progress("fit", 2, None, "busy", {"loss": 0.5}), Note("It is coarse.", "warning", "features")):
        assert event_from(event.as_dict()) == event
    assert event_from({"event": "result"}) is None

"""A crash at any point of any change leaves nothing behind that the next start does not put right."""

import pytest

from tests.crash.databases import postgresql
from tests.crash.points import Effect, Point, Recorder, Side, read_log
from tests.crash.workers import Order, Report, explore
from tests.postgres import programs

LEAST_POINTS = 90
"""What the scenario is known to have; much less would mean that side effects are no longer seen."""


def judge(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{report}")
    told = "\n".join(f"{failure.step}: {failure.point}: {failure.complaint}" for failure in report.failures)
    assert not told
    assert report.points >= LEAST_POINTS


@pytest.mark.timeout(900)
def test_a_crash_before_or_after_any_side_effect_is_put_right(capsys):
    report = explore(Order())
    judge(report, capsys)
    assert report.kills == 2 * report.points


@pytest.mark.timeout(900)
def test_a_crash_is_put_right_on_postgresql_at_one_point_in_sixteen(capsys):
    if programs() is None:
        pytest.skip("PostgreSQL is not installed")
    report = explore(Order(every=16, workers=1, databases=postgresql))
    judge(report, capsys)
    assert report.kills >= report.points // 9


def test_side_effects_are_named_by_what_was_done_before(tmp_path):
    recorder = Recorder(tmp_path / "log", Point(effect=Effect(label="post", occurrence=5), side=Side.BEFORE))
    for _ in range(2):
        with recorder.effect("post"):
            pass
    assert [str(effect) for effect in read_log(tmp_path / "log")] == ["post", "post #2"]

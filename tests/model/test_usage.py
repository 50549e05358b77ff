"""The points of a job's usage: few, whatever its age, and none of its peaks of memory lost."""

from __future__ import annotations

import pytest

from ipyproc.model.usage import UsageHistory, UsagePoint


@pytest.mark.parametrize("count", [0, 1, 2, 599, 600, 601, 20_000])
def test_points_are_thinned_as_a_job_ages(count: int) -> None:
    history = UsageHistory()
    for second in range(1, count + 1):
        history.add(UsagePoint(float(second), 0.5, 10**12 if second == count // 3 else 7))
    for most in (600, 60):
        points = history.points()
        assert len(points) == count if count <= most else most // 4 <= len(points) <= most
        assert [point.seconds for point in points] == sorted({point.seconds for point in points})
        assert all(point.cpu == pytest.approx(0.5) for point in points)
        if points:
            assert points[-1].seconds == count
            assert max(point.memory for point in points) == (10**12 if count >= 3 else 7)
        history.rest()


def test_the_cpu_of_two_points_is_weighted_by_their_times() -> None:
    history = UsageHistory()
    for second in range(1, 602):
        history.add(UsagePoint(float(second), float(second % 2), second))
    points = history.points()
    assert points[0] == UsagePoint(2.0, 0.5, 2)
    assert points[-1] == UsagePoint(601.0, 1.0, 601)

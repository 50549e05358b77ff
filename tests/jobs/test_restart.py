from __future__ import annotations

import random
import signal
from dataclasses import replace
from typing import cast

import pytest

from ipyproc.errors import IpyprocError, JobSpecError, JobStateError
from ipyproc.model.restart import (
    Action,
    BackoffOver,
    Event,
    Exited,
    Finish,
    Phase,
    RestartMode,
    RestartPolicy,
    Start,
    StartAfter,
    Started,
    StopAsked,
    Supervision,
    decide,
    describe_crash_loop,
)

ON_FAILURE = RestartPolicy(RestartMode.ON_FAILURE, max_restarts=3, backoff=1, factor=2, cap=5, healthy=10)
ALWAYS = replace(ON_FAILURE, mode=RestartMode.ALWAYS)
NO = replace(ON_FAILURE, mode=RestartMode.NO)
OVER = (Phase.ENDED, Phase.GAVE_UP)


class Story:
    """A supervised job told event by event, on a clock of its own."""

    def __init__(self, policy: RestartPolicy) -> None:
        self.state = Supervision(policy)
        self.now = 1000.0

    def tell(self, event: Event, after: float = 0.0) -> tuple[Action, ...]:
        self.now += after
        self.state, actions = decide(self.state, event, self.now)
        return actions

    def run(self, status: int, uptime: float = 0.0) -> tuple[Action, ...]:
        """Starts it, through the backoff if it is in one, and has it exit."""
        if self.state.phase is Phase.BACKOFF:
            assert self.tell(BackoffOver(), after=self.state.delay) == (Start(),)
        assert self.tell(Started()) == ()
        return self.tell(Exited(status), after=uptime)


def in_phase(phase: Phase) -> Supervision:
    started_at = None if phase is Phase.STARTING else 1000.0
    return Supervision(ON_FAILURE, phase, started_at=started_at)


TABLE: dict[tuple[Phase, Event], tuple[Phase, tuple[Action, ...]] | None] = {
    (Phase.STARTING, Started()): (Phase.RUNNING, ()),
    (Phase.STARTING, Exited(1)): (Phase.BACKOFF, (StartAfter(1),)),
    (Phase.STARTING, Exited(0)): (Phase.ENDED, (Finish(gave_up=False),)),
    (Phase.STARTING, StopAsked()): (Phase.STOPPING, ()),
    (Phase.STARTING, BackoffOver()): None,
    (Phase.RUNNING, Started()): None,
    (Phase.RUNNING, Exited(1)): (Phase.BACKOFF, (StartAfter(1),)),
    (Phase.RUNNING, Exited(0)): (Phase.ENDED, (Finish(gave_up=False),)),
    (Phase.RUNNING, StopAsked()): (Phase.STOPPING, ()),
    (Phase.RUNNING, BackoffOver()): None,
    (Phase.BACKOFF, Started()): None,
    (Phase.BACKOFF, Exited(1)): None,
    (Phase.BACKOFF, Exited(0)): None,
    (Phase.BACKOFF, StopAsked()): (Phase.ENDED, (Finish(gave_up=False),)),
    (Phase.BACKOFF, BackoffOver()): (Phase.STARTING, (Start(),)),
    (Phase.STOPPING, Started()): (Phase.STOPPING, ()),
    (Phase.STOPPING, Exited(1)): (Phase.ENDED, (Finish(gave_up=False),)),
    (Phase.STOPPING, Exited(0)): (Phase.ENDED, (Finish(gave_up=False),)),
    (Phase.STOPPING, StopAsked()): (Phase.STOPPING, ()),
    (Phase.STOPPING, BackoffOver()): None,
    (Phase.ENDED, Started()): None,
    (Phase.ENDED, Exited(1)): None,
    (Phase.ENDED, Exited(0)): None,
    (Phase.ENDED, StopAsked()): (Phase.ENDED, ()),
    (Phase.ENDED, BackoffOver()): None,
    (Phase.GAVE_UP, Started()): None,
    (Phase.GAVE_UP, Exited(1)): None,
    (Phase.GAVE_UP, Exited(0)): None,
    (Phase.GAVE_UP, StopAsked()): (Phase.GAVE_UP, ()),
    (Phase.GAVE_UP, BackoffOver()): None,
}


def test_the_table_has_every_phase_and_every_event() -> None:
    events = {Started(), Exited(0), Exited(1), StopAsked(), BackoffOver()}
    assert set(TABLE) == {(phase, event) for phase in Phase for event in events}


@pytest.mark.parametrize(("phase", "event"), TABLE)
def test_each_phase_answers_each_event_as_the_table_says(phase: Phase, event: Event) -> None:
    outcome = TABLE[phase, event]
    if outcome is None:
        with pytest.raises(JobStateError, match=f"cannot happen to a job that is {phase.value};") as caught:
            decide(in_phase(phase), event, 1001.0)
        assert isinstance(caught.value, IpyprocError)
    else:
        state, actions = decide(in_phase(phase), event, 1001.0)
        assert (state.phase, actions) == outcome


@pytest.mark.parametrize("status", [0, 1, -signal.SIGKILL])
def test_without_a_policy_an_exit_is_the_end(status: int) -> None:
    story = Story(NO)
    assert story.run(status) == (Finish(gave_up=False),)
    assert (story.state.phase, story.state.exits) == (Phase.ENDED, (status,))


@pytest.mark.parametrize("status", [1, 255, -signal.SIGSEGV, -signal.SIGKILL])
def test_on_failure_restarts_after_a_status_or_a_signal(status: int) -> None:
    assert Story(ON_FAILURE).run(status) == (StartAfter(1),)


def test_always_restarts_after_success_too() -> None:
    assert Story(ALWAYS).run(0) == (StartAfter(1),)


def test_delays_double_up_to_the_cap_until_the_budget_is_spent() -> None:
    story = Story(replace(ON_FAILURE, max_restarts=5))
    assert [story.run(3) for _ in range(6)] == [
        (StartAfter(1),),
        (StartAfter(2),),
        (StartAfter(4),),
        (StartAfter(5),),
        (StartAfter(5),),
        (Finish(gave_up=True),),
    ]
    assert story.state.phase is Phase.GAVE_UP
    assert (story.state.restarts, story.state.total_restarts, story.state.streak) == (5, 5, 6)
    assert story.state.exits == (3,) * 6


def test_a_healthy_while_gives_back_the_budget_and_the_first_delay() -> None:
    story = Story(ON_FAILURE)
    for _ in range(3):
        story.run(3)
    assert story.run(4, uptime=10) == (StartAfter(1),)
    assert (story.state.restarts, story.state.streak, story.state.exits) == (0, 0, (4,))
    assert story.state.total_restarts == 3
    assert [story.run(5, uptime=9.9) for _ in range(3)] == [
        (StartAfter(2),),
        (StartAfter(4),),
        (Finish(True),),
    ]
    assert (story.state.restarts, story.state.total_restarts) == (3, 6)


def test_a_budget_of_none_gives_up_at_the_first_failure() -> None:
    assert Story(replace(ON_FAILURE, max_restarts=0)).run(1) == (Finish(gave_up=True),)
    assert Story(replace(ON_FAILURE, max_restarts=0)).run(0) == (Finish(gave_up=False),)


def test_without_backoff_it_is_started_at_once() -> None:
    story = Story(replace(ON_FAILURE, backoff=0, max_restarts=2))
    assert [story.run(1) for _ in range(3)] == [(Start(),), (Start(),), (Finish(gave_up=True),)]


def test_a_stop_is_never_followed_by_a_restart() -> None:
    running = Story(ALWAYS)
    running.tell(Started())
    assert running.tell(StopAsked()) == ()
    assert running.tell(StopAsked()) == ()
    assert running.tell(Exited(-signal.SIGTERM), after=1) == (Finish(gave_up=False),)
    assert running.state.phase is Phase.ENDED

    waiting = Story(ALWAYS)
    waiting.run(1)
    assert waiting.tell(StopAsked()) == (Finish(gave_up=False),)
    assert waiting.state.total_restarts == 0
    with pytest.raises(JobStateError):
        waiting.tell(BackoffOver())


def test_a_stop_during_the_start_holds() -> None:
    story = Story(ALWAYS)
    assert story.tell(StopAsked()) == ()
    assert story.tell(Started()) == ()
    assert story.state.phase is Phase.STOPPING
    assert story.tell(Exited(0)) == (Finish(gave_up=False),)


def test_a_restart_that_cannot_be_started_counts_as_a_failure() -> None:
    story = Story(replace(ON_FAILURE, max_restarts=1))
    story.run(1, uptime=1)
    story.tell(BackoffOver(), after=1)
    # However long ago the start before was.
    assert story.tell(Exited(127), after=100) == (Finish(gave_up=True),)
    assert story.state.exits == (1, 127)


def test_the_last_ten_exits_of_a_streak_are_kept() -> None:
    story = Story(replace(ON_FAILURE, max_restarts=100))
    for status in range(1, 15):
        story.run(status)
    assert story.state.exits == tuple(range(5, 15))
    assert story.state.streak == 14


def test_a_clock_that_goes_back_is_no_healthy_while() -> None:
    story = Story(ON_FAILURE)
    assert story.run(1, uptime=-500) == (StartAfter(1),)
    assert story.state.streak == 1


def test_very_many_restarts_overflow_nothing() -> None:
    story = Story(RestartPolicy(RestartMode.ALWAYS, max_restarts=3000, factor=1e300, cap=1e308))
    for _ in range(3000):
        story.run(1)
    assert story.state.delay == 1e308


@pytest.mark.parametrize("seed", range(40))
def test_on_any_walk_the_budget_holds_and_nothing_starts_after_the_end(seed: int) -> None:
    dice = random.Random(seed)
    policy = RestartPolicy(
        dice.choice(list(RestartMode)),
        max_restarts=dice.randrange(6),
        backoff=dice.choice([0, 0.25, 1, 7]),
        factor=dice.choice([1, 2, 3.5]),
        cap=dice.choice([0.5, 5, 30]),
        healthy=dice.choice([0.5, 10]),
    )
    state, now, last_delay, finishes, starts, stopped = Supervision(policy), 0.0, 0.0, 0, 0, False
    for _ in range(300):
        event = dice.choices(
            [Started(), Exited(dice.choice([0, 1, 3, -9, -11])), StopAsked(), BackoffOver()], [8, 8, 0.1, 8]
        )[0]
        now += dice.choice([0.0, 0.1, 1, 20])
        before = state
        try:
            state, actions = decide(before, event, now)
        except JobStateError:
            assert (
                TABLE[before.phase, replace(event, status=1) if isinstance(event, Exited) else event] is None
            )
            continue
        assert len(actions) <= 1
        assert not (actions and before.phase in OVER)
        stopped = stopped or (isinstance(event, StopAsked) and before.phase not in OVER)
        for action in actions:
            if isinstance(action, Finish):
                finishes += 1
                assert action.gave_up == (state.phase is Phase.GAVE_UP)
                assert not (action.gave_up and stopped)
            else:
                assert not stopped
                assert policy.mode is not RestartMode.NO
                assert (
                    isinstance(event, BackoffOver)
                    or cast(Exited, event).status
                    or policy.mode is RestartMode.ALWAYS
                )
            if isinstance(action, StartAfter):
                first = state.delay == min(policy.cap, policy.backoff)
                assert 0 < action.delay <= policy.cap
                assert first or action.delay == min(policy.cap, last_delay * policy.factor)
                last_delay = action.delay
            starts += isinstance(action, Start)
        assert (finishes == 1) == (state.phase in OVER)
        assert 0 <= state.restarts <= policy.max_restarts
        assert state.restarts <= state.total_restarts == starts
        assert len(state.exits) <= 10
        # It is a value: what was decided from has not changed, and decides the same again.
        assert decide(before, event, now) == (state, actions)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_restarts", -1),
        ("backoff", -0.1),
        ("factor", 0.5),
        ("cap", float("nan")),
        ("healthy", float("inf")),
    ],
)
def test_a_policy_that_cannot_be_is_refused(field: str, value: float) -> None:
    with pytest.raises(JobSpecError, match=f"^{field} is "):
        replace(RestartPolicy(), **{field: value})


def test_a_mode_is_found_by_its_word_and_an_unknown_one_is_named() -> None:
    assert RestartMode("on-failure") is RestartMode.ON_FAILURE
    with pytest.raises(JobSpecError, match="'sometimes' is unknown; give 'no', 'on-failure' or 'always'"):
        RestartMode("sometimes")


@pytest.mark.parametrize(
    ("exits", "text"),
    [
        ([], "never exited"),
        ([1], "exited 1"),
        ([3, 3, -signal.SIGSEGV, 3], "exited 3, 3, SIGSEGV, 3"),
        ([1] * 10, "exited 1 (10 times)"),
        ([0, -signal.SIGKILL, -signal.SIGKILL, -signal.SIGKILL], "exited 0, SIGKILL (3 times)"),
    ],
)
def test_a_crash_loop_is_told_with_its_codes_and_signals(exits: list[int], text: str) -> None:
    assert describe_crash_loop(exits) == text

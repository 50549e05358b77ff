from __future__ import annotations

import random
import signal
from dataclasses import replace

import pytest

from ipyproc.errors import JobSpecError, JobStateError
from ipyproc.model.action import Action, Finish, Publish, StartProcess
from ipyproc.model.decide import decide
from ipyproc.model.event import EventKind
from ipyproc.model.life import Backoff, Ended, Life, Rules, Running, Starting, Stopping, rules_of
from ipyproc.model.policy import RestartMode, RestartPolicy, describe_crash_loop
from ipyproc.model.spec import JobSpec
from ipyproc.model.stimulus import Exited, NotStarted, Started, Stimulus, StopAsked, TimePassed
from tests.model.lives import END, GIVEN_UP, LADDER, Tale, exited, signalled, started

ON_FAILURE = RestartPolicy(RestartMode.ON_FAILURE, max_restarts=3, backoff=1, factor=2, cap=5, healthy=10)
ALWAYS = replace(ON_FAILURE, mode=RestartMode.ALWAYS)
NO = replace(ON_FAILURE, mode=RestartMode.NO)
STOP = StopAsked(2.0, LADDER)
START = (StartProcess(),)


def in_seconds(delay: float) -> tuple[Action, ...]:
    return (Publish(EventKind.RESTARTING, f"in {delay:.2g} s"),)


class Story(Tale):
    """A job that leaves nothing, told exit by exit."""

    def __init__(self, policy: RestartPolicy) -> None:
        super().__init__(Rules(policy))

    def run(self, status: int, uptime: float = 0.0) -> tuple[Action, ...]:
        """Start it, through the backoff if it is in one, and have it exit; return what follows that."""
        if isinstance(self.life.state, Backoff):
            assert self.pass_time() == START
        assert self.tell(Started(7)) == (started(),)
        first, *others = self.tell(Exited(status, piping=False, left=0), after=uptime)
        assert first.kind is EventKind.EXITED
        return tuple(others)


@pytest.mark.parametrize("status", [0, 1, -signal.SIGKILL])
def test_without_a_policy_an_exit_is_the_end(status: int) -> None:
    story = Story(NO)
    assert story.run(status) == END
    assert story.life.state == Ended(1000.0, status)


@pytest.mark.parametrize("status", [1, 255, -signal.SIGSEGV, -signal.SIGKILL])
def test_on_failure_restarts_after_a_status_or_a_signal(status: int) -> None:
    assert Story(ON_FAILURE).run(status) == in_seconds(1)


def test_on_failure_a_success_is_the_end() -> None:
    story = Story(ON_FAILURE)
    story.run(1)
    assert story.run(0) == END


def test_always_restarts_after_success_too() -> None:
    assert Story(ALWAYS).run(0) == in_seconds(1)


def test_delays_double_up_to_the_cap_until_the_budget_is_spent() -> None:
    story = Story(replace(ON_FAILURE, max_restarts=5))
    assert [story.run(3) for _ in range(6)] == [*map(in_seconds, (1, 2, 4, 5, 5)), GIVEN_UP]
    assert story.life.state == Ended(1017.0, 3, gave_up=True)
    assert (story.life.streak.restarts, story.life.streak.total_restarts) == (5, 5)
    assert story.life.streak.exits == (3,) * 6
    assert story.life.notes == ("crash loop: exited 3 (6 times)",)


def test_a_healthy_while_gives_back_the_budget_and_the_first_delay() -> None:
    story = Story(ON_FAILURE)
    for _ in range(3):
        story.run(3)
    assert story.run(4, uptime=10) == in_seconds(1)
    assert (story.life.streak.restarts, story.life.streak.exits) == (0, (4,))
    assert story.life.streak.total_restarts == 3
    assert [story.run(5, uptime=9.9) for _ in range(3)] == [in_seconds(2), in_seconds(4), GIVEN_UP]
    assert (story.life.streak.restarts, story.life.streak.total_restarts) == (3, 6)
    # The exits before the healthy while are not of the loop.
    assert story.life.notes == ("crash loop: exited 4, 5 (3 times)",)


def test_a_budget_of_none_gives_up_at_the_first_failure() -> None:
    assert Story(replace(ON_FAILURE, max_restarts=0)).run(1) == GIVEN_UP
    assert Story(replace(ON_FAILURE, max_restarts=0)).run(0) == END


def test_without_backoff_it_is_started_at_once() -> None:
    story = Story(replace(ON_FAILURE, backoff=0, max_restarts=2))
    assert [story.run(1) for _ in range(3)] == [START, START, GIVEN_UP]


def test_a_stop_is_never_followed_by_a_restart() -> None:
    running = Story(ALWAYS)
    running.tell(Started(7))
    assert running.tell(STOP) == signalled(signal.SIGINT)
    assert running.tell(STOP) == ()
    ending = running.tell(Exited(-signal.SIGTERM, piping=False, left=0), after=1)
    assert ending[0] == exited("SIGTERM")
    assert ending[-3:] == END
    assert isinstance(running.life.state, Ended)

    waiting = Story(ALWAYS)
    waiting.run(1)
    assert waiting.tell(STOP) == END
    assert waiting.life.streak.total_restarts == 0
    assert waiting.tell(TimePassed(), after=1) == ()


def test_a_stop_during_the_start_holds() -> None:
    story = Story(ALWAYS)
    assert story.tell(STOP) == ()
    assert story.tell(Started(7)) == (started(), *signalled(signal.SIGINT))
    assert isinstance(story.life.state, Stopping)
    assert story.tell(Exited(0, piping=False, left=0))[-3:] == END


def test_a_restart_that_cannot_be_started_counts_as_a_failure() -> None:
    story = Story(replace(ON_FAILURE, max_restarts=1))
    story.run(1, uptime=1)
    assert story.pass_time() == START
    # However long ago the start before was.
    assert story.tell(NotStarted(127, "no such program"), after=100) == GIVEN_UP
    assert story.life.streak.exits == (1, 127)
    assert story.life.notes == ("no such program", "crash loop: exited 1, 127")


def test_a_restart_that_cannot_be_started_is_tried_again_after_a_longer_delay() -> None:
    story = Story(ON_FAILURE)
    story.run(1)
    assert story.pass_time() == START
    assert story.tell(NotStarted(127, "no such program")) == in_seconds(2)
    assert story.pass_time() == START
    assert story.tell(Started(8)) == (started(8),)
    assert story.life.streak.total_restarts == 2


def test_the_last_ten_exits_of_a_streak_are_kept() -> None:
    story = Story(replace(ON_FAILURE, max_restarts=100))
    for status in range(1, 15):
        story.run(status)
    assert story.life.streak.exits == tuple(range(5, 15))


def test_a_clock_that_goes_back_is_no_healthy_while() -> None:
    story = Story(ON_FAILURE)
    assert story.run(1, uptime=-500) == in_seconds(1)
    assert story.life.streak.exits == (1,)


def test_very_many_restarts_overflow_nothing() -> None:
    story = Story(RestartPolicy(RestartMode.ALWAYS, max_restarts=3000, factor=1e300, cap=1e308))
    story.run(1)
    for _ in range(2999):
        # On the way there the clock is past all that a backoff could add to it.
        story.now = 0.0
        story.life = replace(story.life, state=Backoff(0.0))
        story.run(1)
    assert story.life.streak.delay == 1e308


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
    life, now, last_delay, finishes, starts, stopped = Life(Rules(policy), 0.0), 0.0, 0.0, 0, 0, False
    for _ in range(300):
        status = dice.choice([0, 1, 3, -9, -11])
        stimuli: list[Stimulus] = [
            Started(7),
            Exited(status, piping=False, left=0),
            NotStarted(127, "no such program"),
            STOP,
            TimePassed(),
        ]
        stimulus = dice.choices(stimuli, [8, 8, 1, 0.1, 8])[0]
        now += dice.choice([0.0, 0.1, 1, 20])
        before = life
        try:
            life, actions = decide(before, stimulus, now)
        except JobStateError:
            running = isinstance(before.state, (Running, Stopping))
            assert not (running if isinstance(stimulus, Exited) else isinstance(before.state, Starting))
            continue
        over = isinstance(before.state, Ended)
        assert not (actions and over)
        stopped = stopped or (stimulus == STOP and not over)
        if Finish() in actions:
            finishes += 1
            gave_up = isinstance(life.state, Ended) and life.state.gave_up
            assert gave_up == (Publish(EventKind.GAVE_UP) in actions)
            assert not (gave_up and stopped)
        backs_off = isinstance(life.state, Backoff) and not isinstance(before.state, Backoff)
        if StartProcess() in actions or backs_off:
            assert not stopped
            assert policy.mode is not RestartMode.NO
            failed = isinstance(stimulus, NotStarted) or (isinstance(stimulus, Exited) and status != 0)
            assert isinstance(stimulus, TimePassed) or failed or policy.mode is RestartMode.ALWAYS
        if backs_off:
            delay = life.streak.delay
            assert life.state == Backoff(now + delay)
            assert 0 < delay <= policy.cap
            assert delay in (min(policy.cap, policy.backoff), min(policy.cap, last_delay * policy.factor))
            last_delay = delay
        starts += actions.count(StartProcess())
        assert (finishes == 1) == isinstance(life.state, Ended)
        assert 0 <= life.streak.restarts <= policy.max_restarts
        assert life.streak.restarts <= life.streak.total_restarts == starts
        assert len(life.streak.exits) <= 10
        # It is a value: what was decided from has not changed, and decides the same again.
        assert decide(before, stimulus, now) == (life, actions)


# The policy


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


@pytest.mark.parametrize("value", [True, [1], "1"])
def test_rules_are_refused_with_their_policy_though_others_like_them_were_made(value: object) -> None:
    assert rules_of(JobSpec("true", "one", backoff=1)).restart.backoff == 1
    with pytest.raises(JobSpecError, match="^backoff is "):
        rules_of(JobSpec("true", "other", backoff=value))


def test_jobs_with_equal_rules_share_them() -> None:
    one, other, third = (JobSpec("true", name, restart="always") for name in ("one", "other", "third"))
    assert rules_of(one) is rules_of(other)
    assert rules_of(replace(third, stop_signal=signal.SIGTERM, timeout=3)) == Rules(
        RestartPolicy(RestartMode.ALWAYS), 3, (signal.SIGTERM, signal.SIGKILL)
    )


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

from __future__ import annotations

from dataclasses import replace
from signal import SIGINT, SIGKILL, SIGTERM

import pytest

from ipyproc.model.action import Disown, SendSignal
from ipyproc.model.life import (
    LADDER,
    Backoff,
    Climb,
    Ended,
    Gone,
    Hold,
    Rules,
    Running,
    Stopping,
    stop_ladder,
)
from ipyproc.model.policy import Streak
from ipyproc.model.stimulus import Drained, Exited, MembersSeen, PipesEnded, Started, StopAsked, TimePassed
from tests.model.lives import (
    ALIVE,
    AT_ONCE,
    CLEARING,
    DEAF,
    DEAF_LEFT,
    DRAIN,
    DRAINED,
    END,
    ESCAPED,
    HURRY,
    INTERRUPT,
    INTERRUPTED,
    KILL,
    KILLED,
    LEFT_RUNNING,
    NOW,
    ONE_EXIT,
    STOP,
    STOPPED,
    Case,
    Tale,
    exited,
    gone,
    is_decided,
    left,
    life,
    signalled,
)

STOPS = [
    Case(
        "a stop sends its first signal, and sees to the next",
        life(Running(), ALIVE),
        StopAsked(3.0, stop_ladder(SIGTERM), "enough"),
        life(Stopping(Climb((SIGKILL,), 3.0, 103.0), whole=True), ALIVE, sent=(SIGTERM,), notes=("enough",)),
        signalled(SIGTERM),
    ),
    Case(
        "when the grace is over it sends the next",
        life(replace(STOPPED, climb=Climb(LADDER[1:], 3.0, NOW)), ALIVE, sent=(SIGINT,)),
        TimePassed(),
        life(Stopping(Climb((SIGKILL,), 3.0, 103.0), whole=True), ALIVE, sent=(SIGINT, SIGTERM)),
        signalled(SIGTERM),
    ),
    Case(
        "the last is SIGKILL, audibly, and nothing is due after it while the process lives",
        life(Stopping(Climb((SIGKILL,), 3.0, NOW), whole=True), ALIVE, sent=(SIGINT,)),
        TimePassed(),
        life(Stopping(Climb((), 3.0), whole=True, over_at=102.0), ALIVE, sent=(SIGINT, SIGKILL)),
        (DEAF, *signalled(SIGKILL)),
    ),
    Case(
        "a kill is one SIGKILL without a word",
        life(Running(), ALIVE),
        KILL,
        life(Stopping(Climb((), 0.0), whole=True, over_at=102.0), ALIVE, sent=(SIGKILL,)),
        signalled(SIGKILL),
    ),
    Case(
        "an interrupt is one signal, and the rest of the session is not waited for",
        life(Running(), ALIVE),
        INTERRUPT,
        life(INTERRUPTED, ALIVE, sent=(SIGINT,)),
        signalled(SIGINT),
    ),
    Case(
        "a shorter ladder replaces a longer one",
        life(STOPPED, ALIVE, sent=(SIGINT,)),
        KILL,
        life(Stopping(Climb((), 0.0), whole=True, over_at=102.0), ALIVE, sent=(SIGINT, SIGKILL)),
        (DEAF, *signalled(SIGKILL)),
    ),
    Case(
        "a longer ladder changes nothing",
        life(STOPPED, ALIVE, sent=(SIGINT,)),
        StopAsked(0.1, LADDER),
        life(STOPPED, ALIVE, sent=(SIGINT,)),
    ),
    Case(
        "a stop after the SIGKILL changes nothing",
        life(KILLED, ALIVE, sent=(SIGKILL,)),
        KILL,
        life(KILLED, ALIVE, sent=(SIGKILL,)),
    ),
    Case(
        "an interrupt beside a stop hurries it on, and takes none of its signals away",
        life(STOPPED, ALIVE, sent=(SIGINT,)),
        StopAsked(None, (SIGTERM,)),
        life(STOPPED, ALIVE, sent=(SIGINT, SIGTERM)),
        signalled(SIGTERM),
    ),
    Case(
        "a stop after an interrupt has its whole ladder, and ends the whole session",
        life(INTERRUPTED, ALIVE, sent=(SIGINT,)),
        STOP,
        life(Stopping(Climb(LADDER[1:], 3.0, 103.0), whole=True), ALIVE, sent=(SIGINT, SIGINT)),
        signalled(SIGINT),
    ),
    Case(
        "a second interrupt sends its signal",
        life(INTERRUPTED, ALIVE, sent=(SIGINT,)),
        StopAsked(None, (SIGTERM,)),
        life(INTERRUPTED, ALIVE, sent=(SIGINT, SIGTERM)),
        signalled(SIGTERM),
    ),
    Case(
        "an exit by a signal that was sent was brought about by that one",
        life(STOPPED, ALIVE, sent=(SIGINT, SIGTERM)),
        Exited(-SIGINT, piping=False, left=0),
        life(Ended(NOW, -SIGINT), Gone(7, 95.0, -2, False, 0), sent=(SIGINT, SIGTERM), ended_by="SIGINT"),
        (exited("SIGINT"), HURRY, *END),
    ),
    Case(
        "another exit was brought about by the last signal",
        life(INTERRUPTED, ALIVE, sent=(SIGINT, SIGTERM)),
        Exited(3, piping=False, left=0),
        life(Ended(NOW, 3), Gone(7, 95.0, 3, False, 0), sent=(SIGINT, SIGTERM), ended_by="SIGTERM"),
        (exited("exit 3"), *END),
    ),
    Case(
        "a stop goes on while the session has members",
        life(STOPPED, gone(left=None)),
        MembersSeen(2),
        life(STOPPED, gone(left=2)),
        (HURRY,),
    ),
    Case(
        "what is left gets the next signal, and the note names it",
        life(replace(STOPPED, climb=Climb(LADDER[1:], 3.0, NOW)), gone(left=2), sent=(SIGINT,)),
        TimePassed(),
        life(
            Stopping(Climb((SIGKILL,), 3.0, 103.0), whole=True),
            gone(left=2),
            sent=(SIGINT,),
            notes=("a process that it left needed SIGTERM",),
        ),
        (*signalled(SIGTERM), HURRY),
    ),
    Case(
        "SIGINT for what is left needs no note",
        life(INTERRUPTED, gone(left=2, rest=Hold(100.1, False)), sent=(SIGTERM,)),
        STOP,
        life(
            Stopping(Climb(LADDER[1:], 3.0, 103.0), whole=True),
            gone(left=2, rest=Hold(100.1, False)),
            sent=(SIGTERM,),
        ),
        (*signalled(SIGINT), HURRY),
    ),
    Case(
        "a stop is over when the session is empty",
        life(STOPPED, gone(left=2)),
        MembersSeen(0),
        life(Ended(NOW, 0), gone()),
        END,
    ),
    Case(
        "what an interrupt leaves is waited for as after any exit",
        life(INTERRUPTED, gone(left=None)),
        MembersSeen(2),
        life(INTERRUPTED, gone(left=2, rest=Hold(100.2, False))),
        (HURRY,),
    ),
    Case(
        "what outlives SIGKILL is let live, and the stop is over",
        life(replace(KILLED, over_at=NOW), gone(left=1), sent=(SIGINT,)),
        TimePassed(),
        life(Ended(NOW, 0), gone(), sent=(SIGINT,), notes=(LEFT_RUNNING,)),
        (Disown(), *END),
    ),
    Case(
        "a stop in the backoff ends the job with its last exit",
        life(Backoff(101.0), gone(1), streak=Streak(exits=(1, 127))),
        STOP,
        life(Ended(NOW, 127), gone(1), streak=Streak(exits=(1, 127))),
        END,
    ),
    Case(
        "a stop in the backoff stops what is left as well",
        life(Backoff(101.0, CLEARING), gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
        STOP,
        life(
            Ended(NOW, 1, climb=Climb(LADDER[1:], 3.0, 103.0)),
            gone(1, left=2, rest=DRAINED),
            streak=ONE_EXIT,
        ),
        (*END, HURRY, SendSignal(SIGINT)),
    ),
    Case(
        "a stop takes over from the clearing, and nothing is started",
        life(CLEARING, gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
        STOP,
        life(
            Stopping(Climb(LADDER[1:], 3.0, 103.0), whole=True),
            gone(1, left=2, rest=DRAINED),
            streak=ONE_EXIT,
        ),
        (*signalled(SIGINT), HURRY),
    ),
    Case(
        "the timeout is a stop with two seconds between the signals",
        life(Running(), ALIVE, timeout_at=NOW),
        TimePassed(),
        life(
            Stopping(Climb(LADDER[1:], 2.0, 102.0), whole=True),
            ALIVE,
            sent=(SIGINT,),
            timed_out=True,
            notes=("timed out after 50 s",),
        ),
        signalled(SIGINT),
    ),
    Case(
        "in the backoff the timeout ends the job there",
        life(Backoff(101.0), gone(1), streak=ONE_EXIT, timeout_at=NOW),
        TimePassed(),
        life(Ended(NOW, 1), gone(1), streak=ONE_EXIT, timed_out=True, notes=("timed out after 50 s",)),
        END,
    ),
    Case(
        "a timeout beside an interrupt ends the job after all",
        life(INTERRUPTED, ALIVE, sent=(SIGINT,), timeout_at=NOW),
        TimePassed(),
        life(
            Stopping(Climb(LADDER[1:], 2.0, 102.0), whole=True),
            ALIVE,
            sent=(SIGINT, SIGINT),
            timed_out=True,
            notes=("timed out after 50 s",),
        ),
        signalled(SIGINT),
    ),
]

LEFTOVERS = [
    Case(
        "what an ended job has left is stopped by a ladder of its own",
        life(Ended(90.0, 0), gone(left=2)),
        STOP,
        life(Ended(90.0, 0, climb=Climb(LADDER[1:], 3.0, 103.0)), gone(left=2)),
        (HURRY, SendSignal(SIGINT)),
    ),
    Case(
        "a stop of a job that has left nothing does nothing, and adds no note",
        life(Ended(90.0, 0), gone()),
        StopAsked(3.0, LADDER, "enough"),
        life(Ended(90.0, 0), gone()),
    ),
    Case(
        "the ladder goes on to SIGKILL, audibly, which has two seconds",
        life(Ended(90.0, 0, climb=Climb((SIGKILL,), 9.0, NOW)), gone(left=2)),
        TimePassed(),
        life(Ended(90.0, 0, climb=Climb((), 9.0, 102.0)), gone(left=2)),
        (DEAF_LEFT, HURRY, SendSignal(SIGKILL)),
    ),
    Case(
        "what of it outlives SIGKILL is let live",
        life(Ended(90.0, 0, climb=Climb((), 9.0, NOW)), gone(left=2)),
        TimePassed(),
        life(Ended(90.0, 0), gone(), notes=(LEFT_RUNNING,)),
        (Disown(), left(0)),
    ),
    Case(
        "a stop beside that ladder changes nothing",
        life(Ended(90.0, 0, climb=Climb(LADDER[1:], 3.0, 103.0)), gone(left=2)),
        STOP,
        life(Ended(90.0, 0, climb=Climb(LADDER[1:], 3.0, 103.0)), gone(left=2)),
    ),
    Case(
        "a kill cuts that ladder short",
        life(Ended(90.0, 0, climb=Climb(LADDER[1:], 3.0, 103.0)), gone(left=2)),
        KILL,
        life(Ended(90.0, 0, climb=Climb((), 0.0, 102.0)), gone(left=2)),
        (DEAF_LEFT, HURRY, SendSignal(SIGKILL)),
    ),
    Case(
        "an interrupt beside it takes none of its signals away",
        life(Ended(90.0, 0, climb=Climb(LADDER[1:], 3.0, 103.0)), gone(left=2)),
        INTERRUPT,
        life(Ended(90.0, 0, climb=Climb(LADDER[1:], 3.0, 103.0)), gone(left=2)),
        (HURRY, SendSignal(SIGINT)),
    ),
    Case(
        "an interrupt alone is one signal, after which nothing is due",
        life(Ended(90.0, 0), gone(left=2)),
        INTERRUPT,
        life(Ended(90.0, 0, climb=Climb((), None)), gone(left=2)),
        (HURRY, SendSignal(SIGINT)),
    ),
    Case(
        "how many are left is told when it changes",
        life(Ended(90.0, 0, climb=Climb(LADDER[1:], 3.0, 103.0)), gone(left=2)),
        MembersSeen(1),
        life(Ended(90.0, 0, climb=Climb(LADDER[1:], 3.0, 103.0)), gone(left=1)),
        (left(1),),
    ),
    Case(
        "the ladder is over when none are",
        life(Ended(90.0, 0, climb=Climb(LADDER[1:], 3.0, 103.0)), gone(left=2)),
        MembersSeen(0),
        life(Ended(90.0, 0), gone()),
        (left(0),),
    ),
    Case(
        "the end of the output of what is left is told",
        life(Ended(90.0, 0), gone(piping=True, left=2)),
        PipesEnded(),
        life(Ended(90.0, 0), gone(left=2)),
        (left(2),),
    ),
]


@pytest.mark.parametrize("case", [*STOPS, *LEFTOVERS], ids=str)
def test_it_is_decided_that(case: Case) -> None:
    is_decided(case)


# A stop from its beginning to its end


def test_a_stop_of_a_deaf_job_takes_three_signals_and_waits_for_no_more() -> None:
    tale = Tale(Rules())
    tale.tell(Started(7))
    tale.tell(StopAsked(3.0, LADDER))
    assert tale.pass_time_until_nothing_is_due() == [
        (3.0, signalled(SIGTERM)),
        (6.0, (DEAF, *signalled(SIGKILL))),
    ]
    tale.tell(Exited(-SIGKILL, piping=False, left=0))
    assert (tale.life.state, tale.life.ended_by) == (Ended(1006.0, -SIGKILL), "SIGKILL")


def test_the_rest_of_a_session_has_the_same_grace_as_its_leader() -> None:
    tale = Tale(Rules())
    tale.tell(Started(7))
    tale.tell(StopAsked(3.0, LADDER))
    assert tale.tell(Exited(-SIGINT, piping=True, left=None), after=1.0) == (exited("SIGINT"), HURRY)
    assert tale.tell(MembersSeen(2)) == (HURRY,)
    assert tale.pass_time_until_nothing_is_due() == [
        (2.0, (*signalled(SIGTERM), HURRY)),
        (5.0, (DEAF, *signalled(SIGKILL), HURRY)),
        (7.0, (Disown(), *DRAIN)),
    ]
    # It outlives SIGKILL, and holds a pipe.
    assert tale.tell(Drained(piping=True)) == END
    assert tale.life.notes == (
        "a process that it left needed SIGTERM",
        "a process that it left needed SIGKILL",
        LEFT_RUNNING,
        ESCAPED,
    )
    assert (tale.life.state, tale.life.ended_by) == (Ended(1008.0, -SIGINT), "SIGINT")


def test_a_stop_without_grace_sends_its_signals_one_after_another_and_ends() -> None:
    tale = Tale(Rules())
    tale.tell(Started(7))
    tale.tell(StopAsked(0.0, LADDER))
    assert tale.pass_time_until_nothing_is_due() == [
        (0.0, signalled(SIGTERM)),
        (0.0, (DEAF, *signalled(SIGKILL))),
    ]


def test_three_interrupts_end_the_program_and_leave_the_rest_alone() -> None:
    tale = Tale(Rules())
    tale.tell(Started(7))
    for signum in LADDER:
        assert tale.tell(StopAsked(None, (signum,)))[-2:] == signalled(signum)
    assert tale.tell(Exited(-SIGKILL, piping=True, left=1), after=5.0) == (exited("SIGKILL"), HURRY)
    assert tale.pass_time_until_nothing_is_due() == [(1.0, DRAIN)]
    assert tale.tell(Drained(piping=True)) == END
    assert (tale.life.left, tale.life.lingers, tale.life.notes) == (1, True, ())


def test_what_a_job_has_left_is_stopped_as_a_job_is_and_let_live_in_the_end() -> None:
    tale = Tale(Rules())
    tale.tell(Started(7))
    tale.tell(Exited(0, piping=False, left=1))
    assert tale.pass_time() == DRAIN
    assert tale.now == 1000.2
    assert tale.tell(Drained(piping=False)) == END
    assert tale.tell(StopAsked(3.0, LADDER)) == (HURRY, SendSignal(SIGINT))
    story = tale.pass_time_until_nothing_is_due()
    assert [actions for _, actions in story] == [
        (HURRY, SendSignal(SIGTERM)),
        (DEAF_LEFT, HURRY, SendSignal(SIGKILL)),
        (Disown(), left(0)),
    ]
    assert [round(seconds, 9) for seconds, _ in story] == [3.0, 6.0, 8.0]
    assert (tale.life.left, tale.life.notes) == (0, (LEFT_RUNNING,))


def test_a_stop_while_the_place_is_cleared_ends_what_is_left_and_counts_no_restart() -> None:
    tale = Tale(AT_ONCE)
    tale.tell(Started(7))
    tale.tell(Exited(1, piping=False, left=1))
    tale.pass_time()
    assert tale.tell(Drained(piping=False)) == (HURRY, SendSignal(SIGTERM))
    assert tale.tell(StopAsked(3.0, LADDER)) == (*signalled(SIGINT), HURRY)
    assert tale.tell(MembersSeen(0), after=1.0) == END
    assert (tale.life.streak.total_restarts, tale.life.ended_by) == (0, None)


def test_an_interrupt_while_the_place_is_cleared_ends_the_job_which_tells_what_it_has_left() -> None:
    tale = Tale(AT_ONCE)
    tale.tell(Started(7))
    tale.tell(Exited(1, piping=False, left=1))
    tale.pass_time()
    tale.tell(Drained(piping=False))
    assert tale.tell(StopAsked(None, (SIGINT,))) == (*signalled(SIGINT), *END)
    assert (tale.life.left, tale.life.streak.total_restarts) == (1, 0)

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from signal import SIGINT, SIGKILL, SIGTERM
from textwrap import dedent

import pytest

from ipyproc.errors import IpyprocError, JobStateError
from ipyproc.model.action import Publish, SendSignal
from ipyproc.model.decide import decide, due
from ipyproc.model.event import EventKind
from ipyproc.model.life import (
    LADDER,
    NEVER,
    Alive,
    Backoff,
    Clearing,
    Climb,
    Ended,
    Gone,
    Hold,
    Life,
    Rest,
    Rules,
    Running,
    Starting,
    Stopping,
)
from ipyproc.model.policy import RestartMode, RestartPolicy, Streak
from ipyproc.model.state import JobState
from ipyproc.model.stimulus import (
    Abandoned,
    BecameReady,
    Exited,
    GaveUp,
    Noted,
    NotStarted,
    Started,
    Stimulus,
    StopAsked,
    TimePassed,
    Unwell,
)
from tests.model.lives import (
    ALIVE,
    CLEARING,
    DEAF,
    END,
    GIVEN_UP,
    INTERRUPTED,
    KILL,
    KILLED,
    NOW,
    ONE_EXIT,
    SLOW,
    STOP,
    STOPPED,
    Case,
    exited,
    gone,
    is_decided,
    life,
    signalled,
    started,
)

STARTS = [
    Case(
        "the first start begins the timeout",
        life(Starting()),
        Started(7),
        life(Running(), Alive(7, NOW), timeout_at=150.0),
        (started(),),
    ),
    Case(
        "a restart keeps the timeout of the first start, and has to become ready itself",
        life(Starting(), gone(1), streak=ONE_EXIT, ready=True, timeout_at=130.0),
        Started(8),
        life(Running(), Alive(8, NOW), streak=ONE_EXIT, timeout_at=130.0),
        (started(8),),
    ),
    Case(
        "a first start that fails ends the job, whatever its policy",
        life(Starting()),
        NotStarted(127, "no such program"),
        life(Ended(NOW, 127), notes=("no such program",)),
        END,
    ),
    Case(
        "a restart that fails is an exit, and not a healthy one",
        life(Starting(), gone(1), streak=Streak(1, 1, 1.0, (1,))),
        NotStarted(126, "may not be run"),
        life(Backoff(102.0), gone(1), streak=Streak(1, 1, 2.0, (1, 126)), notes=("may not be run",)),
        (Publish(EventKind.RESTARTING, "in 2 s"),),
    ),
    Case(
        "a restart that fails for the last time gives up, and the note says how it went",
        life(Starting(), gone(1), streak=Streak(3, 3, 4.0, (1, 1, 1))),
        NotStarted(127, "no such program"),
        life(
            Ended(NOW, 127, gave_up=True),
            gone(1),
            streak=Streak(3, 3, 4.0, (1, 1, 1, 127)),
            notes=("no such program", "crash loop: exited 1 (3 times), 127"),
        ),
        GIVEN_UP,
    ),
    Case(
        "a stop before the process has started waits for it, and says why at once",
        life(Starting()),
        StopAsked(3.0, LADDER, "enough"),
        life(Starting((StopAsked(3.0, LADDER, "enough"),)), notes=("enough",)),
    ),
    Case(
        "a kill after that stop waits as well",
        life(Starting((STOP,))),
        KILL,
        life(Starting((STOP, KILL))),
    ),
    Case(
        "the stop begins once the process has started",
        life(Starting((STOP,))),
        Started(7),
        life(
            Stopping(Climb(LADDER[1:], 3.0, 103.0), whole=True),
            Alive(7, NOW),
            sent=(SIGINT,),
            timeout_at=150.0,
        ),
        (started(), *signalled(SIGINT)),
    ),
    Case(
        "of two stops before the start each has its signal",
        life(Starting((STOP, KILL))),
        Started(7),
        life(
            Stopping(Climb((), 0.0), whole=True, over_at=102.0),
            Alive(7, NOW),
            sent=(SIGINT, SIGKILL),
            timeout_at=150.0,
        ),
        (started(), *signalled(SIGINT), DEAF, *signalled(SIGKILL)),
    ),
    Case(
        "a restart that fails after a stop ends the job",
        life(Starting((STOP,)), gone(1), streak=ONE_EXIT),
        NotStarted(127, "no such program"),
        life(Ended(NOW, 127), gone(1), streak=ONE_EXIT, notes=("no such program",)),
        END,
    ),
]

SEEN = [
    Case(
        "a process that is not well gets SIGTERM, and SIGKILL is due in two seconds",
        life(Running(), ALIVE),
        Unwell("it was silent"),
        life(Running(), Alive(7, 95.0, unwell=True, kill_at=102.0), notes=("it was silent",)),
        (SendSignal(SIGTERM),),
    ),
    Case(
        "that SIGKILL is audible, and comes once",
        life(Running(), Alive(7, 95.0, unwell=True, kill_at=NOW)),
        TimePassed(),
        life(Running(), Alive(7, 95.0, unwell=True)),
        (SLOW, SendSignal(SIGKILL)),
    ),
    Case(
        "an interrupt beside it does not put it off",
        life(INTERRUPTED, Alive(7, 95.0, unwell=True, kill_at=NOW), sent=(SIGINT,)),
        TimePassed(),
        life(INTERRUPTED, Alive(7, 95.0, unwell=True), sent=(SIGINT,)),
        (SLOW, SendSignal(SIGKILL)),
    ),
    Case(
        "to hear it twice changes nothing",
        life(Running(), Alive(7, 95.0, unwell=True, kill_at=101.0)),
        Unwell("it is too large"),
        life(Running(), Alive(7, 95.0, unwell=True, kill_at=101.0)),
    ),
    Case(
        "a job that is being stopped need not be well",
        life(STOPPED, ALIVE, sent=(SIGINT,)),
        Unwell("it was silent"),
        life(STOPPED, ALIVE, sent=(SIGINT,)),
    ),
    Case(
        "nor a process that has exited",
        life(Running(), gone(left=None)),
        Unwell("it was silent"),
        life(Running(), gone(left=None)),
    ),
    Case(
        "a process that was ended for not being well has failed, whatever it says",
        life(
            Running(),
            Alive(7, 95.0, unwell=True, kill_at=101.0),
            Rules(RestartPolicy(RestartMode.ON_FAILURE)),
        ),
        Exited(0, piping=False, left=0),
        life(
            Backoff(100.25),
            Gone(7, 95.0, 0, False, 0, unwell=True),
            Rules(RestartPolicy(RestartMode.ON_FAILURE)),
            streak=Streak(delay=0.25, exits=(0,)),
        ),
        (exited("exit 0"), Publish(EventKind.RESTARTING, "in 0.25 s")),
    ),
    Case(
        "readiness is told once",
        life(Running(), ALIVE),
        BecameReady(),
        life(Running(), ALIVE, ready=True),
        (Publish(EventKind.READY),),
    ),
    Case(
        "to hear of it again changes nothing",
        life(Running(), ALIVE, ready=True),
        BecameReady(),
        life(Running(), ALIVE, ready=True),
    ),
    Case(
        "workers that give up say so, and the helper ends by itself",
        life(Running(), ALIVE, Rules()),
        GaveUp("worker 2 died 5 times"),
        life(Running(), ALIVE, Rules(), gave_up=True, notes=("worker 2 died 5 times",)),
    ),
    Case(
        "a helper whose workers gave up has given up, whatever its status",
        life(Running(), ALIVE, Rules(), gave_up=True),
        Exited(0, piping=False, left=0),
        life(Ended(NOW, 0, gave_up=True), Gone(7, 95.0, 0, False, 0), Rules(), gave_up=True),
        (exited("exit 0"), *GIVEN_UP),
    ),
    Case(
        "a note is kept, in any state",
        life(Ended(90.0, 0), gone(), notes=("one",)),
        Noted("two"),
        life(Ended(90.0, 0), gone(), notes=("one", "two")),
    ),
    Case(
        "the same note is kept once",
        life(Running(), ALIVE, notes=("one",)),
        Noted("one"),
        life(Running(), ALIVE, notes=("one",)),
    ),
    Case(
        "time that passes before anything is due changes nothing",
        life(STOPPED, ALIVE, sent=(SIGINT,), timeout_at=150.0),
        TimePassed(),
        life(STOPPED, ALIVE, sent=(SIGINT,), timeout_at=150.0),
    ),
]

LOOP_CLOSED = ("its event loop was closed while it ran",)
ABANDONED = [
    Case(
        "an abandoned job ends with the status that its process was ended by",
        life(STOPPED, ALIVE, sent=(SIGINT,), timeout_at=150.0),
        Abandoned(-SIGKILL),
        life(Ended(NOW, -9), Gone(7, 95.0, -9, False, 0), sent=(SIGINT,), notes=LOOP_CLOSED),
        END,
    ),
    Case(
        "one whose exit was seen before has that status",
        life(Running(), gone(3, piping=True, left=1, rest=Hold(100.5, True))),
        Abandoned(-SIGKILL),
        life(Ended(NOW, 3), gone(3), notes=LOOP_CLOSED),
        END,
    ),
    Case(
        "one in the backoff has the status of its last exit, or of what could not be started",
        life(Backoff(101.0), gone(1), streak=Streak(exits=(1, 127))),
        Abandoned(-SIGKILL),
        life(Ended(NOW, 127), gone(1), streak=Streak(exits=(1, 127)), notes=LOOP_CLOSED),
        END,
    ),
    Case(
        "one without a process has the status that it is told",
        life(Starting()),
        Abandoned(-SIGKILL),
        life(Ended(NOW, -9), notes=LOOP_CLOSED),
        END,
    ),
    Case(
        "what an ended job has left is nobody's any longer, without a word",
        life(Ended(90.0, 1, climb=Climb(LADDER[1:], 3.0, 103.0)), gone(1, piping=True, left=2)),
        Abandoned(-SIGKILL),
        life(Ended(90.0, 1), gone(1)),
    ),
]

CASES = [*STARTS, *SEEN, *ABANDONED]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_decided_that(case: Case) -> None:
    is_decided(case)


RUNS, GONE, WAITS = life(Running(), ALIVE), life(Running(), gone(left=1)), life(Backoff(101.0), gone(1))
IS_STARTED, IS_OVER, IS_CLEARED = (
    life(Starting()),
    life(Ended(90.0, 0), gone()),
    life(CLEARING, gone(1, left=1)),
)


@pytest.mark.parametrize(
    ("before", "stimulus"),
    [
        *[(before, Started(8)) for before in (RUNS, GONE, WAITS, IS_CLEARED, IS_OVER, life(STOPPED, ALIVE))],
        *[(before, NotStarted(127, "")) for before in (RUNS, GONE, WAITS, IS_CLEARED, IS_OVER)],
        *[(before, Exited(0, False)) for before in (IS_STARTED, GONE, WAITS, IS_CLEARED, IS_OVER)],
    ],
    ids=str,
)
def test_what_cannot_happen_in_a_state_is_refused_in_one_sentence(before: Life, stimulus: Stimulus) -> None:
    with pytest.raises(JobStateError) as caught:
        decide(before, stimulus, NOW)
    where = f"({type(before.state).__name__}, {type(before.process).__name__})"
    assert (
        str(caught.value) == f"{stimulus!r} is impossible now {where}; report each stimulus once, in order."
    )
    assert isinstance(caught.value, IpyprocError)


@pytest.mark.parametrize(
    ("known", "at"),
    [
        (life(Running(), ALIVE), NEVER),
        (life(Running(), ALIVE, timeout_at=150.0), 150.0),
        (life(Running(), Alive(7, 95.0, unwell=True, kill_at=102.0), timeout_at=150.0), 102.0),
        (life(Running(), gone(left=1, rest=Hold(100.2, False)), timeout_at=150.0), 100.2),
        (life(Running(), gone(left=1, rest=Rest.DRAINING)), NEVER),
        (life(STOPPED, ALIVE), 102.0),
        (life(INTERRUPTED, ALIVE), NEVER),
        (life(KILLED, ALIVE), NEVER),
        (life(KILLED, gone(left=1)), 101.0),
        (life(KILLED, gone(left=None)), NEVER),
        (life(KILLED, gone(left=1, rest=Rest.DRAINING)), NEVER),
        (life(replace(KILLED, whole=False), gone(left=1, rest=Hold(102.0, True))), 102.0),
        (life(CLEARING, gone(left=1)), 101.0),
        (life(Clearing(NEVER, 103.0), gone(left=1)), 103.0),
        (life(Backoff(102.0, CLEARING), gone(left=1)), 101.0),
        (life(Backoff(102.0), gone()), 102.0),
        (life(Ended(90.0, 0), gone(left=1)), NEVER),
        (life(Ended(90.0, 0, climb=Climb((), 1.0, 103.0)), gone(left=1)), 103.0),
    ],
)
def test_something_is_due_when_the_first_wait_of_a_state_is_over(known: Life, at: float) -> None:
    assert due(known) == at


@pytest.mark.parametrize(
    ("known", "state", "number", "lingers"),
    [
        (life(Starting()), JobState.RUNNING, 0, False),
        (life(Starting((STOP,))), JobState.STOPPING, 0, False),
        (life(Running(), ALIVE), JobState.RUNNING, 0, False),
        (life(Running(), gone(left=2)), JobState.RUNNING, 0, False),
        (life(STOPPED, ALIVE), JobState.STOPPING, 0, False),
        (life(CLEARING, gone(left=2)), JobState.BACKOFF, 0, False),
        (life(Backoff(101.0), gone()), JobState.BACKOFF, 0, False),
        (life(Ended(90.0, 0), gone(left=2)), JobState.EXITED, 2, True),
        (life(Ended(90.0, 0), gone(piping=True)), JobState.EXITED, 0, True),
        (life(Ended(90.0, 0, gave_up=True), gone()), JobState.GAVE_UP, 0, False),
        (life(Ended(90.0, 127)), JobState.EXITED, 0, False),
    ],
)
def test_people_are_told_a_plain_state_and_what_an_ended_job_has_left(
    known: Life, state: JobState, number: int, lingers: bool
) -> None:
    assert (known.job_state, known.left, known.lingers) == (state, number, lingers)


def test_the_example_of_the_docstring_runs() -> None:
    modules = [import_module(f"ipyproc.model.{name}") for name in ("policy", "life", "action", "decide")]
    names = {name: thing for module in modules for name, thing in vars(module).items()}
    code = names["__doc__"].partition("::\n")[2].partition("\n\n`")[0]
    exec(dedent(code), names)
    assert names["actions"] == (names["StartProcess"](),)

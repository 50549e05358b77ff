from __future__ import annotations

from signal import SIGKILL, SIGTERM

import pytest

from ipyproc.model.action import Look, Publish, SendSignal, StartProcess
from ipyproc.model.event import EventKind
from ipyproc.model.life import (
    NEVER,
    Backoff,
    Clearing,
    Ended,
    Gone,
    Hold,
    Rest,
    Rules,
    Running,
    Starting,
)
from ipyproc.model.policy import Streak
from ipyproc.model.stimulus import (
    Drained,
    Exited,
    MembersSeen,
    PipesEnded,
    TimePassed,
)
from tests.model.lives import (
    ALIVE,
    AT_ONCE,
    CLEARING,
    DRAIN,
    DRAINED,
    END,
    ESCAPED,
    HURRY,
    NOW,
    ONE_EXIT,
    SLOW,
    Case,
    exited,
    gone,
    is_decided,
    life,
)

EXITS = [
    Case(
        "an exit with nothing left and no pipe open is followed by the policy at once",
        life(Running(), ALIVE),
        Exited(1, piping=False, left=0),
        life(Backoff(101.0), Gone(7, 95.0, 1, False, 0), streak=ONE_EXIT),
        (exited("exit 1"), Publish(EventKind.RESTARTING, "in 1 s")),
    ),
    Case(
        "without a policy it is the end, and a note on the status is kept",
        life(Running(), ALIVE, Rules()),
        Exited(127, piping=False, left=0, note="'x' was not found"),
        life(Ended(NOW, 127), Gone(7, 95.0, 127, False, 0), Rules(), notes=("'x' was not found",)),
        (exited("exit 127"), *END),
    ),
    Case(
        "an open pipe is drained before the end",
        life(Running(), ALIVE, Rules()),
        Exited(0, piping=True, left=0),
        life(Running(), Gone(7, 95.0, 0, True, 0, rest=Rest.DRAINING), Rules()),
        (exited("exit 0"), *DRAIN),
    ),
    Case(
        "nothing follows before the session has been looked at",
        life(Running(), ALIVE, Rules()),
        Exited(-SIGKILL, piping=False, left=None),
        life(Running(), Gone(7, 95.0, -9, False, None), Rules()),
        (exited("SIGKILL"),),
    ),
    Case(
        "processes that hold a pipe open are waited for one second",
        life(Running(), gone(piping=True, left=None)),
        MembersSeen(2),
        life(Running(), gone(piping=True, left=2, rest=Hold(101.0, True))),
        (HURRY,),
    ),
    Case(
        "processes that hold no pipe are given a fifth of a second to leave",
        life(Running(), gone(left=None)),
        MembersSeen(1),
        life(Running(), gone(left=1, rest=Hold(100.2, False))),
        (HURRY,),
    ),
    Case(
        "another number of them does not begin the wait anew",
        life(Running(), gone(piping=True, left=2, rest=Hold(100.5, True))),
        MembersSeen(1),
        life(Running(), gone(piping=True, left=1, rest=Hold(100.5, True))),
        (HURRY,),
    ),
    Case(
        "when the pipe ends during the wait it is the shorter one, and who held it is looked for",
        life(Running(), gone(piping=True, left=2, rest=Hold(100.9, True))),
        PipesEnded(),
        life(Running(), gone(left=2, rest=Hold(100.2, False))),
        (Look(), HURRY),
    ),
    Case(
        "when the wait is over the pipes are drained",
        life(Running(), gone(piping=True, left=2, rest=Hold(NOW, True))),
        TimePassed(),
        life(Running(), gone(piping=True, left=2, rest=Rest.DRAINING)),
        DRAIN,
    ),
    Case(
        "what is left after that is no reason to wait",
        life(Running(), gone(piping=True, left=2, rest=Rest.DRAINING), Rules()),
        Drained(piping=True),
        life(Ended(NOW, 0), gone(piping=True, left=2, rest=DRAINED), Rules()),
        END,
    ),
    Case(
        "when the last of them goes in time the drain comes at once",
        life(Running(), gone(piping=True, left=1, rest=Hold(100.9, True))),
        MembersSeen(0),
        life(Running(), gone(piping=True, rest=Rest.DRAINING)),
        DRAIN,
    ),
    Case(
        "when the last of them goes and no pipe is open, the wait leaves no trace",
        life(Running(), gone(left=1, rest=Hold(100.1, False)), Rules()),
        MembersSeen(0),
        life(Ended(NOW, 0), gone(rest=DRAINED), Rules()),
        END,
    ),
    Case(
        "a pipe that is open though nobody is left is held by one that has escaped",
        life(Running(), gone(piping=True, rest=Rest.DRAINING), Rules()),
        Drained(piping=True),
        life(Ended(NOW, 0), gone(piping=True, rest=DRAINED), Rules(), notes=(ESCAPED,)),
        END,
    ),
    Case(
        "the end of a pipe that the drain finds is not the end of the drain",
        life(Running(), gone(piping=True, rest=Rest.DRAINING)),
        PipesEnded(),
        life(Running(), gone(rest=Rest.DRAINING)),
    ),
    Case(
        "the end of the pipes before the exit is told by the exit",
        life(Running(), ALIVE),
        PipesEnded(),
        life(Running(), ALIVE),
    ),
]

CLEARS = [
    Case(
        "what is left is ended while the backoff lasts",
        life(Running(), gone(1, left=2, rest=Rest.DRAINING)),
        Drained(piping=False),
        life(
            Backoff(101.0, Clearing(102.0, 104.0)),
            gone(1, left=2, rest=DRAINED),
            streak=ONE_EXIT,
        ),
        (HURRY, SendSignal(SIGTERM), Publish(EventKind.RESTARTING, "in 1 s")),
    ),
    Case(
        "without a backoff the next start waits for the place to be free",
        life(Running(), gone(1, left=2, rest=Rest.DRAINING), AT_ONCE),
        Drained(piping=False),
        life(Clearing(102.0, 104.0), gone(1, left=2, rest=DRAINED), AT_ONCE, streak=Streak(exits=(1,))),
        (HURRY, SendSignal(SIGTERM)),
    ),
    Case(
        "when it is free before the backoff is over, the backoff goes on",
        life(Backoff(101.0, CLEARING), gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
        MembersSeen(0),
        life(Backoff(101.0), gone(1, rest=DRAINED), streak=ONE_EXIT),
    ),
    Case(
        "when it is free after that, the next process starts",
        life(CLEARING, gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
        MembersSeen(0),
        life(Starting(), gone(1, rest=DRAINED), streak=Streak(1, 1, 1.0, (1,))),
        (StartProcess(),),
    ),
    Case(
        "while some of it lives on, nothing starts",
        life(CLEARING, gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
        MembersSeen(1),
        life(CLEARING, gone(1, left=1, rest=DRAINED), streak=ONE_EXIT),
    ),
    Case(
        "a backoff that is over waits for the clearing",
        life(Backoff(NOW, CLEARING), gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
        TimePassed(),
        life(CLEARING, gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
    ),
    Case(
        "what is deaf to SIGTERM gets SIGKILL, audibly",
        life(Clearing(NOW, 102.0), gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
        TimePassed(),
        life(Clearing(NEVER, 102.0), gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
        (SLOW, SendSignal(SIGKILL)),
    ),
    Case(
        "in a backoff too",
        life(Backoff(120.0, Clearing(NOW, 102.0)), gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
        TimePassed(),
        life(Backoff(120.0, Clearing(NEVER, 102.0)), gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
        (SLOW, SendSignal(SIGKILL)),
    ),
    Case(
        "what outlives SIGKILL does not keep the next process from its start",
        life(Clearing(NEVER, NOW), gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
        TimePassed(),
        life(Starting(), gone(1, left=2, rest=DRAINED), streak=Streak(1, 1, 1.0, (1,))),
        (StartProcess(),),
    ),
    Case(
        "nor does it prolong a backoff",
        life(Backoff(110.0, Clearing(NEVER, NOW)), gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
        TimePassed(),
        life(Backoff(110.0), gone(1, left=2, rest=DRAINED), streak=ONE_EXIT),
    ),
]


@pytest.mark.parametrize("case", [*EXITS, *CLEARS], ids=str)
def test_it_is_decided_that(case: Case) -> None:
    is_decided(case)

from __future__ import annotations

import random
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import get_args

import pytest

from ipyproc.model.action import (
    Action,
    Disown,
    Drain,
    Finish,
    Hurry,
    Publish,
    SendSignal,
    StartProcess,
    Warn,
)
from ipyproc.model.decide import decide, due
from ipyproc.model.event import EventKind
from ipyproc.model.life import (
    LADDER,
    NEVER,
    Alive,
    Backoff,
    Clearing,
    Ended,
    Gone,
    Hold,
    Life,
    Rest,
    Rules,
    Running,
    Starting,
    Stopping,
    stop_ladder,
)
from ipyproc.model.policy import RestartMode, RestartPolicy
from ipyproc.model.stimulus import (
    Abandoned,
    BecameReady,
    Drained,
    Exited,
    GaveUp,
    MembersSeen,
    Noted,
    NotStarted,
    PipesEnded,
    Started,
    Stimulus,
    StopAsked,
    TimePassed,
    Unwell,
)

WALKS = 2000
TURNS = 40
ENOUGH = 300


class World:
    """What a job is in: a process or none, those that it has left, pipes, time; all by one seed.

    It carries out what is decided, tells what may happen next in any order, and sees to it that what must
    never be is not.
    """

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        policy = RestartPolicy(
            dice.choice(list(RestartMode)),
            max_restarts=dice.randrange(4),
            backoff=dice.choice([0, 0.25, 1, 7]),
            factor=dice.choice([1, 2, 3.5]),
            cap=dice.choice([0.5, 5, 30]),
            healthy=dice.choice([0.5, 10]),
        )
        self.now = dice.choice([0.0, 1234.1])
        ladder = stop_ladder(dice.choice([SIGINT, SIGTERM, SIGKILL]))
        self.life = Life(Rules(policy, dice.choice([None, 0.3, 20.0]), ladder), self.now)
        self.starting, self.alive = True, False
        self.fate: int | None = None
        self.members, self.immortal, self.seen = 0, 0, 0
        self.looks = False
        self.pipes, self.holding, self.escaped = False, False, False
        self.draining = False
        self.deaf_to: list[Signals] = []
        self.stopped, self.finished = False, False
        self.story: list[str] = []
        self.met: set[type] = set()

    # What may happen

    def possible(self) -> list[Stimulus]:
        """What follows from what is, and has to be told sooner or later."""
        found: list[Stimulus] = []
        if self.starting:
            found.append(Started(7))
        if self.alive and self.fate is not None:
            found.append(self.exit())
        if self.looks and not self.alive and self.seen != self.members:
            found.append(MembersSeen(self.members))
        if self.pipes and not self.alive and not self.held:
            found.append(PipesEnded())
        if self.draining:
            found.append(Drained(self.pipes and self.held))
        return found

    def whim(self) -> Stimulus:
        """What may happen at any time, or need not."""
        dice = self.dice
        found: list[Stimulus] = [TimePassed(), TimePassed(), Noted(dice.choice("abc"))]
        if dice.random() < 0.15:
            grace = dice.choice([None, 0.0, 0.1, 2.0])
            ladder = (
                (dice.choice(LADDER),) if grace is None else dice.choice([LADDER, LADDER[1:], LADDER[2:]])
            )
            found.append(StopAsked(grace, ladder, dice.choice(["", "enough"])))
        if self.starting:
            found.append(NotStarted(127, "no such program"))
        if self.alive:
            found += [BecameReady(), self.exit(), Unwell("it was silent"), GaveUp("a worker died too often")]
        if dice.random() < 0.003 and not self.starting:
            found.append(Abandoned(-SIGKILL))
        return dice.choice(found)

    @property
    def held(self) -> bool:
        return self.escaped or (self.holding and self.members > 0)

    def exit(self) -> Exited:
        status = self.dice.choice([0, 1, 3, -11]) if self.fate is None else self.fate
        piping = self.held or self.dice.random() < 0.5
        left = 0 if not self.members and self.dice.random() < 0.5 else None
        return Exited(status, piping, left, self.dice.choice(["", "it was not found"]))

    # Its turns

    def tell(self, stimulus: Stimulus) -> None:
        before = self.life
        self.story.append(f"{self.now:.3f} {stimulus}")
        self.happen(stimulus)
        self.life, actions = decide(before, stimulus, self.now)
        self.story.append(f"    {self.life.state} {self.life.process} {actions}")
        assert decide(before, stimulus, self.now) == (self.life, actions)
        values = (
            stimulus,
            *actions,
            self.life.state,
            self.life.process,
            getattr(self.life.process, "rest", None),
        )
        self.met.update(map(type, values))
        was_over = self.finished
        for action in actions:
            self.carry_out(action, was_over)
        self.check(before, stimulus, actions)

    def happen(self, stimulus: Stimulus) -> None:
        dice = self.dice
        if isinstance(stimulus, Started):
            # Of the one before nothing is told from now on.
            self.starting, self.alive, self.fate, self.looks = False, True, None, False
            self.members, self.immortal = dice.choice([0, 0, 1, 3]), 0
            if self.members and dice.random() < 0.2:
                self.immortal = 1
            self.holding, self.escaped = dice.random() < 0.7, dice.random() < 0.1
            self.deaf_to = dice.sample(LADDER[:2], dice.randrange(3))
            self.pipes = True
        elif isinstance(stimulus, NotStarted):
            self.starting = False
        elif isinstance(stimulus, Exited):
            self.alive, self.fate, self.looks = False, None, True
            self.pipes, self.seen = stimulus.piping, -1 if stimulus.left is None else stimulus.left
        elif isinstance(stimulus, MembersSeen):
            self.seen = stimulus.left
        elif isinstance(stimulus, PipesEnded):
            self.pipes = False
        elif isinstance(stimulus, Drained):
            self.draining, self.pipes = False, stimulus.piping
        elif isinstance(stimulus, Abandoned):
            self.alive = self.looks = self.pipes = self.draining = False
        elif isinstance(stimulus, StopAsked):
            self.stopped = self.stopped or not self.finished

    def carry_out(self, action: Action, was_over: bool) -> None:
        if isinstance(action, StartProcess):
            assert not self.alive and not self.starting, "there are two processes"
            assert not self.stopped and not self.finished, "it was stopped"
            self.starting = True
        elif isinstance(action, SendSignal):
            assert not self.starting, "who is signalled will be another"
            self.take_signal(action.signum)
        elif isinstance(action, Drain):
            assert not self.draining and not self.alive
            self.draining = True
        elif isinstance(action, Disown):
            assert not self.alive
            self.looks = False
        elif isinstance(action, Finish):
            assert not self.finished, "it has finished before"
            self.finished = True
        elif isinstance(action, Publish):
            assert (action.kind is EventKind.DONE) <= (self.finished and not was_over)
            assert not was_over or action.kind is EventKind.LEFT
        if was_over:
            assert isinstance(action, (Hurry, SendSignal, Warn, Disown, Publish))

    def take_signal(self, signum: Signals) -> None:
        if self.alive and self.fate is None and signum not in self.deaf_to:
            self.fate = self.dice.choice([-signum, -signum, 0 if signum is not SIGKILL else -SIGKILL])
        if signum is SIGKILL:
            self.members = self.immortal
        elif self.members > self.immortal and self.dice.random() < 0.5:
            self.members -= 1

    # What must always be

    def check(self, before: Life, stimulus: Stimulus, actions: tuple[Action, ...]) -> None:
        life, state, process = self.life, self.life.state, self.life.process
        assert self.starting == isinstance(state, Starting)
        assert self.alive == isinstance(process, Alive)
        assert self.finished == isinstance(state, Ended)
        assert actions.count(Finish()) == actions.count(Publish(EventKind.DONE))
        self.stopped = self.stopped or life.timed_out
        if isinstance(state, (Running, Stopping)):
            assert process is not None
        elif isinstance(state, (Backoff, Clearing)):
            assert isinstance(process, Gone)
        assert self.stopped or not isinstance(state, Stopping)
        left = process.left if isinstance(process, Gone) else None
        if isinstance(process, Gone):
            assert self.draining == (process.rest is Rest.DRAINING)
            assert process.rest is not Rest.DRAINING or isinstance(state, (Running, Stopping))
            assert not isinstance(process.rest, Hold) or (isinstance(state, (Running, Stopping)) and left)
        if isinstance(state, Clearing) or (isinstance(state, Backoff) and state.clearing is not None):
            assert left
        if isinstance(state, Ended) and state.climb is not None:
            assert left
        if isinstance(state, Ended):
            assert life.timeout_at == NEVER
            assert not (state.gave_up and self.stopped and not life.gave_up)
        assert len(set(life.notes)) == len(life.notes)
        assert life.notes[: len(before.notes)] == before.notes
        streak, policy = life.streak, life.rules.restart
        assert 0 <= streak.restarts <= min(policy.max_restarts, streak.total_restarts)
        if not actions:
            assert (life is before) == (life == before)
        if isinstance(stimulus, TimePassed):
            assert due(life) >= self.now, "what was due is due still"
            assert due(life) > self.now or life != before, "it is called again for nothing"

    # A walk

    def walk(self) -> None:
        dice = self.dice
        for _ in range(TURNS):
            self.now += dice.choice([0.0, 0.0, 0.01, 0.1, 1.0, 20.0])
            at = due(self.life)
            if at < NEVER and dice.random() < 0.5:
                self.now = max(self.now, at)
            if at <= self.now and dice.random() < 0.8:
                self.tell(TimePassed())
            possible = self.possible()
            self.tell(dice.choice(possible) if possible and dice.random() < 0.5 else self.whim())
        has_process = isinstance(self.life.state, (Running, Stopping, Clearing))
        self.tell(StopAsked(dice.choice([0.0, 0.1, 2.0]), LADDER))
        self.come_to_an_end()
        assert self.finished
        assert not has_process or self.life.left == 0
        if self.life.left:
            self.tell(StopAsked(dice.choice([0.0, 0.1, 2.0]), LADDER))
            self.come_to_an_end()
        assert self.life.left == 0
        assert not self.life.lingers or (self.escaped or self.members)

    def come_to_an_end(self) -> None:
        """Let all happen that follows, until nothing does; an interrupt beside it changes nothing."""
        for _ in range(ENOUGH):
            possible = self.possible()
            if due(self.life) < NEVER and self.dice.random() < 0.1:
                self.tell(StopAsked(None, (SIGINT,)))
            elif possible:
                self.tell(self.dice.choice(possible))
            elif due(self.life) < NEVER:
                self.now = max(self.now, due(self.life))
                self.tell(TimePassed())
            else:
                return
        raise AssertionError("it does not come to an end")


@pytest.mark.parametrize("first", range(0, WALKS, 200))
def test_on_any_walk_there_is_one_process_at_most_and_one_end_and_a_stop_always_comes_to_it(
    first: int,
) -> None:
    for seed in range(first, first + 200):
        world = World(seed)
        try:
            world.walk()
        except Exception as error:
            told = "\n".join(world.story)
            raise AssertionError(f"World({seed}).walk() fails: {error!r}\n{told}") from error


def test_the_walks_come_by_every_state_and_do_every_action() -> None:
    worlds = [World(seed) for seed in range(300)]
    for world in worlds:
        world.walk()
    met = set().union(*(world.met for world in worlds))
    states = {Starting, Running, Stopping, Clearing, Backoff, Ended, Alive, Gone, Hold, Rest}
    assert states | {*get_args(Action)} | {*get_args(Stimulus)} <= met

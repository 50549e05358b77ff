"""The live form of a table of jobs, apart from its pages and its kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from tornado.ioloop import IOLoop

from ipyproc.job.table import JobTable
from ipyproc.safe import SafeText
from ipyproc.views.live import MeasuredJob
from ipyproc.widget.answers import Answers
from ipyproc.widget.table import LiveTables
from tests.jobs.looped import looped


class Channel:
    """The way of one table's messages, which end here."""

    form = SafeText("{}")

    def __init__(self, received: Callable[[Any], None]) -> None:
        self.sent: list[Mapping[str, Any]] = []
        self.say = received
        self.is_resting = self.is_closed = False

    def send(self, message: Mapping[str, object], buffers: Sequence[bytes]) -> None:
        self.sent.append(message)

    def rest(self) -> None:
        self.is_resting = True

    def close(self) -> None:
        self.is_closed = True


@looped
async def test_only_what_changes_is_told_and_ended_tables_are_few(table: JobTable) -> None:
    job = table.spawn("cat", name="it")
    channels: list[Channel] = []

    def open_channel(_key: str, _kind: str, received: Callable[[Any], None]) -> Channel:
        channels.append(Channel(received))
        return channels[-1]

    settings = SimpleNamespace(live_patience=0.0)
    tables = LiveTables(
        IOLoop.current(), open_channel, settings, Answers(lambda: None), lambda job: table.forget_all([job])
    )
    live = tables.of(table)
    assert live.form() == {"application/vnd.jupyter.widget-view+json": "{}"} and not live.may_be_shown(1e99)
    # No page has answered in time, so the next table waits for none; until one does.
    assert not tables.of(table).form()
    snapshot, (channel,) = job.snapshot(), channels
    measured = MeasuredJob(job, snapshot, 10.2, 4096)
    live.tell([measured], "")
    assert not channel.sent
    for message in (None, "hello", {"type": "hello"}, {"type": "hello", "page": 1}, {"page": "p"}):
        channel.say(message)
    assert not channel.sent
    channel.say({"type": "hello", "page": "p", "age": 1e9})
    (told,) = channel.sent
    assert told["page"] == "p" and told["rows"][0]["name"] == "it" and live.may_be_shown(1e99)
    # A time that goes on, or a part of a percent, is nothing new.
    later = replace(snapshot, elapsed=snapshot.elapsed + 5)
    live.tell([replace(measured, snapshot=later, cpu=10.4)], "")
    assert len(channel.sent) == 1
    live.tell([replace(measured, cpu=11.0)], "")
    live.tell([replace(measured, cpu=11.0)], "and others")
    assert [message.get("caption") for message in channel.sent[1:]] == [None, "and others"]
    live.tell([measured], "", over=True)
    assert channel.sent[-1]["over"] and channel.is_resting
    channel.say({"type": "act", "do": "stop", "name": "it", "page": "p"})
    assert "has ended" in channel.sent[-1]["text"] and not job.done
    for _ in range(5):
        other = tables.of(table)
        other.form()
        other.tell([], "", over=True)
    assert [each.is_closed for each in channels] == [True, *[False] * 5]
    tables.close()
    assert all(each.is_closed for each in channels)
    job.close_stdin()
    await job

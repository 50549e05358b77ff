"""The contract's assertions say what they compare, as those of test modules do."""

from __future__ import annotations

import pytest

from ipyproc.hosts.wire import client, job, server, session

pytest.register_assert_rewrite("tests.hosts.contract")


@pytest.fixture(autouse=True)
def patient_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is late is waited for at either end; whoever tries how long that is done says so."""
    for module, name in (
        (client, "_START_SECONDS"),
        (client, "_ATTACH_SECONDS"),
        (job, "_ANSWER_SECONDS"),
        (server, "_GONE_SECONDS"),
        (session, "_GREETING_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 60.0)

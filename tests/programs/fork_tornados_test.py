"""Tornado's own fork test, with our fork_processes in the place of Tornado's."""

from __future__ import annotations

import functools
import sys
import unittest

from tornado.test import process_test

from ipyproc.process import fork

ORIGINAL = "from tornado.process import fork_processes, task_id\n"
OURS = (
    "import functools\n"
    "from ipyproc.process.fork import fork_processes, task_id\n"
    "fork_processes = functools.partial(fork_processes, exit_parent=True)\n"
)

if hasattr(process_test, "_MULTI_PROCESS_TEST_SCRIPT"):  # Tornado 6.6: in an interpreter of its own
    script = process_test._MULTI_PROCESS_TEST_SCRIPT
    assert ORIGINAL in script
    process_test._MULTI_PROCESS_TEST_SCRIPT = script.replace(ORIGINAL, OURS)
else:
    process_test.fork_processes = functools.partial(fork.fork_processes, exit_parent=True)
    process_test.task_id = fork.task_id

suite = unittest.defaultTestLoader.loadTestsFromName("ProcessTest.test_multi_process", process_test)
result = unittest.TextTestRunner().run(suite)
sys.exit(not (result.wasSuccessful() and result.testsRun == 1 and not result.skipped))

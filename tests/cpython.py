"""Running unittest's suites as CPython has them, and telling what came of each test."""

from __future__ import annotations

import sys
import unittest
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["run"]


def run(suite: unittest.TestSuite, not_run: Mapping[str, str]) -> dict[str, Any]:
    """Runs a suite, but for the classes in ``not_run``.

    Returns:
        Of each kind of outcome ("passed", "failed", "skipped") the names, as ``Class.test``; of a failure
        the traceback, of what the file skips by itself the reason. "classes": the classes that there were.
    """
    tests = list(_flat(suite))
    chosen = unittest.TestSuite(test for test in tests if type(test).__name__ not in not_run)
    result = unittest.TextTestRunner(sys.stderr, verbosity=2, resultclass=_Result).run(chosen)
    return {
        "passed": sorted(set(result.passed)),
        "failed": {_name(test): text for test, text in result.failures + result.errors},
        "skipped": {_name(test): reason for test, reason in result.skipped},
        "classes": sorted({type(test).__name__ for test in tests}),
    }


class _Result(unittest.TextTestResult):
    """One that knows the names of those that passed, too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.passed: list[str] = []

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.passed.append(_name(test))


def _flat(suite: Any) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flat(test)
        else:
            yield test


def _name(test: Any) -> str:
    # A failure within subTest() is of a test of its own.
    return ".".join(getattr(test, "test_case", test).id().split(".")[-2:])

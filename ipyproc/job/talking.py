"""Talking to a job: what is sent to its standard input, and waiting for what it answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from ipyproc import safe
from ipyproc.errors import ExpectTimeout, JobSpecError, JobStateError, OutputEnded, UnsatisfiableReadError
from ipyproc.job.reading import JobOutput
from ipyproc.model.spec import need_seconds, need_size
from ipyproc.model.text import input_bytes
from ipyproc.spool.cursor import Cursor, Search, TextSearch

__all__ = ["JobTalk", "Reading"]

Found = TypeVar("Found")

_SHOWN = 200


class Reading(Generic[Found]):
    """Output that is waited for: ``await`` it, or block for it with `join`.

    Awaiting it works on any loop; a cancelled await has taken nothing.

    Args:
        job: the job.
        search: reads what comes.
        look: returns what was found in what has been read, None if it has not come.
        what: what is waited for, for errors.
        timeout: the seconds to wait at most; None for no limit.
    """

    def __init__(
        self,
        job: JobTalk,
        search: Search,
        look: Callable[[], Found | None],
        what: str,
        timeout: float | None = None,
    ) -> None:
        self._job = job
        self._search = search
        self._look = look
        self._what = what
        self._timeout = timeout

    def __await__(self) -> Generator[object, None, Found]:
        """Wait for it, and return it.

        Raises:
            OutputEnded: the job ended first (an `EOFError`).
            ExpectTimeout: it did not come within the timeout (a `TimeoutError`).
            JobStateError: another reading of the job is awaited.
        """
        return self._wait().__await__()

    def join(self) -> Found:
        """Block until it comes, and return it; the synchronous form of ``await``, as `Job.join` is.

        Raises:
            OutputEnded: the job ended first (an `EOFError`).
            ExpectTimeout: it did not come within the timeout (a `TimeoutError`).
            JobStateError: another reading of the job is awaited.
        """
        __tracebackhide__ = True
        found: list[Found] = []

        def came() -> bool:
            result = self._attempt()
            if result is not None:
                found.append(result)
            return bool(found)

        with self._job._reads_alone(self._search):
            if not self._job.hosted.block_until(came, self._timeout):
                raise self._late()
        return found[0]

    async def _wait(self) -> Found:
        __tracebackhide__ = True
        with self._job._reads_alone(self._search):
            try:
                return await asyncio.wait_for(self._until_found(), self._timeout)
            except asyncio.TimeoutError:
                raise self._late() from None

    async def _until_found(self) -> Found:
        while True:
            future = self._job._reads.future()
            try:
                result = self._attempt()
                if result is not None:
                    return result
                if not self._search.behind:
                    await future
            finally:
                self._job._reads.forget(future)
            # Leave the loop a turn, in case output comes faster than it is searched.
            await asyncio.sleep(0)

    def _attempt(self) -> Found | None:
        __tracebackhide__ = True
        # In this order: what it wrote before its end is looked at.
        done = self._job.done
        result = self._look() if self._search.fill() else None
        if result is None and done and not self._search.behind:
            raise OutputEnded(
                f"Job {self._job.name!r} ended before {self._what} came{self._job._last_seen()}"
            )
        return result

    def _late(self) -> ExpectTimeout:
        seconds = 0.0 if self._timeout is None else self._timeout
        late, last = f"within {seconds:g} s", self._job._last_seen()
        return ExpectTimeout(f"Job {self._job.name!r} has not written {self._what} {late}{last}")


class JobTalk(JobOutput):
    """The input of a job, and answers that are waited for. Any thread may call any method.

    The methods that wait share one reading position, which begins at the start of the output and moves past
    what they return: nothing that came before a call is missed. It is theirs alone: `JobOutput` and views
    have all output, whatever was waited for. One of them may wait at a time.

    Args:
        hosted: the job, as its host holds it.
    """

    # Of the class until they change: most jobs are never talked to, and an ended one is to cost little.
    _made_cursor: Cursor | None = None
    _is_read = False

    @property
    def _cursor(self) -> Cursor:
        if self._made_cursor is None:
            self._made_cursor = Cursor(self.hosted.output)
        return self._made_cursor

    # Input

    def send(self, text: str | bytes) -> None:
        """Write to its standard input; text that is not read yet is buffered, and the call never blocks.

        On a terminal this types the text: the terminal shows it, and hands a line over at its ``\\n``;
        ``\\x03`` is Ctrl-C, ``\\x04`` is Ctrl-D. In a line that the terminal itself edits, as for ``read`` or
        ``cat``, Linux drops what exceeds 4,095 bytes (``N_TTY``, termios(3)): give long lines by ``stdin=``.

        Args:
            text: the text, written as it is; end a line with ``\\n``.

        Raises:
            JobStateError: it has ended, or its standard input is closed.
            JobSpecError: the input is neither text nor bytes (a `ValueError`).
        """
        if not self.hosted.takes_input:
            what = "has ended" if self.done else "has its standard input closed"
            raise JobStateError(f"Job {self.name!r} {what}, so nothing was sent; start it again.")
        self.hosted.write(input_bytes(text, self.encoding))

    def close_stdin(self) -> None:
        """Close its standard input once all text sent was written; do nothing if it is closed.

        On a terminal this types Ctrl-D at the start of a line, or twice within a line: the program reads the
        end of its input. The terminal takes more after that, for a program that goes on reading.
        """
        if self.hosted.takes_input:
            self.hosted.write(b"", close=True)

    # The terminal

    @property
    def hides_input(self) -> bool:
        """True if its terminal does not echo the line that it reads, as at a prompt for a password.

        Of a job elsewhere, this is what its host has told last.
        """
        return self.hosted.hides_input

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal; its foreground processes get SIGWINCH. Restarts keep the size.

        Args:
            rows: the rows.
            columns: the columns.

        Raises:
            JobStateError: it runs on pipes.
            JobSpecError: a terminal cannot have this size (a `ValueError`).
        """
        need_size(rows, columns)
        self.hosted.resize(rows, columns)

    # Answers

    def expect(self, pattern: str | re.Pattern[str], timeout: float | None = None) -> Reading[re.Match[str]]:
        """Wait until a pattern comes in its output, such as a prompt, which need not end its line.

        ::

            job = ipyproc.spawn("python3 -i", tty=True)
            await job.expect(">>> ")
            job.send("6 * 7\\n")
            answer = await job.expect(re.compile(r"^(\\d+)\\n", re.MULTILINE), timeout=5)
            print(answer[1])

        The output is searched as it comes: ``\\d+`` or ``\\d+$`` may match the first digits of a number, so
        let a pattern for a whole line end in ``\\n``. A match has at most 64 kB.

        Args:
            pattern: a text, or a compiled regular expression.
            timeout: the seconds to wait at most; None for no limit.

        Returns:
            An awaitable of the match. The text before it is ``match.string[: match.start()]``.

        Raises:
            JobSpecError: the pattern is neither (a `ValueError`).
            OutputEnded: when awaited: the job ended first (an `EOFError`).
            ExpectTimeout: when awaited: it did not come within the timeout (a `TimeoutError`).
        """
        need_seconds("timeout", timeout)
        if isinstance(pattern, str):
            compiled = re.compile(re.escape(pattern))
        elif isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
            compiled = pattern
        else:
            raise JobSpecError(
                f"The pattern {pattern!r} is neither a text nor a compiled pattern of text; "
                "give one such as 'login: ', or re.compile('[Ll]ogin: ')."
            )
        search = TextSearch(self._cursor, compiled)
        return Reading(
            self, search, search.look, repr(compiled.pattern if compiled is pattern else pattern), timeout
        )

    def read_until(self, delimiter: bytes, max_bytes: int | None = None) -> Reading[bytes]:
        """Wait until a delimiter comes; return all bytes up to it, and the delimiter, as `IOStream` does.

        Args:
            delimiter: the bytes at the end. Lines of a terminal end in ``b"\\r\\n"``.
            max_bytes: the bytes that it may have at most; None for no limit.

        Returns:
            An awaitable of the bytes.

        Raises:
            OutputEnded: when awaited: the job ended first (an `EOFError`).
            UnsatisfiableReadError: when awaited: more bytes came without it (a `ValueError`); none are taken.
        """
        return self._read_to(lambda search: search.find(delimiter), repr(delimiter), max_bytes)

    def read_until_regex(
        self, regex: bytes | re.Pattern[bytes], max_bytes: int | None = None
    ) -> Reading[bytes]:
        """Wait until a regular expression matches; return all bytes up to its end, as `IOStream` does.

        Args:
            regex: the regular expression.
            max_bytes: the bytes that it may have at most; None for no limit.

        Returns:
            An awaitable of the bytes.

        Raises:
            JobSpecError: it is not a regular expression of bytes (a `ValueError`).
            OutputEnded: when awaited: the job ended first (an `EOFError`).
            UnsatisfiableReadError: when awaited: more bytes came without it (a `ValueError`); none are taken.
        """
        try:
            pattern = re.compile(regex)
            pattern.search(b"")
        except (re.error, TypeError) as error:
            raise JobSpecError(
                f"The pattern {regex!r} is not a regular expression of bytes ({error}); "
                "give one such as b'[$#] '."
            ) from None
        return self._read_to(lambda search: search.match(pattern), repr(pattern.pattern), max_bytes)

    def read_bytes(self, num_bytes: int, partial: bool = False) -> Reading[bytes]:
        """Wait until so many bytes have come, and return them, as `IOStream` does.

        Args:
            num_bytes: how many.
            partial: return as soon as there are any bytes, at most so many.

        Returns:
            An awaitable of the bytes.

        Raises:
            OutputEnded: when awaited: the job ended first (an `EOFError`); none are taken.
        """
        search = Search(self._cursor)

        def look() -> bytes | None:
            if search.size >= num_bytes or (partial and search.size):
                return search.take(num_bytes)
            return None

        return Reading(self, search, look, f"{num_bytes} bytes")

    @contextmanager
    def _reads_alone(self, search: Search) -> Iterator[None]:
        if self._is_read:
            raise JobStateError(
                f"Job {self.name!r} is waited for by another expect() or read; await that one first."
            )
        self._is_read = True
        try:
            search.begin()
            yield
        finally:
            self._is_read = False

    def _last_seen(self) -> str:
        """Return the end of a sentence, with the last line that it wrote."""
        last = safe.line(self.hosted.output.last_line())
        shown = f"{last[:_SHOWN]} …" if len(last) > _SHOWN else last
        return f"; its last line is {shown!r}." if shown else "; it has written nothing."

    def _read_to(
        self, find: Callable[[Search], int | None], what: str, max_bytes: int | None
    ) -> Reading[bytes]:
        search = Search(self._cursor)

        def look() -> bytes | None:
            size = find(search)
            if max_bytes is not None and (search.size if size is None else size) > max_bytes:
                raise UnsatisfiableReadError(
                    f"Job {self.name!r} has written {search.size:,} bytes without {what} in the first "
                    f"{max_bytes:,}; read them by read_bytes()."
                )
            return None if size is None else search.take(size)

        return Reading(self, search, look, what)

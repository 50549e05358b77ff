"""The command line of the program ``ipyproc``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from ipyproc.console import verbs
from ipyproc.errors import IpyprocError

__all__ = ["main", "parser"]

_BROKEN, _INTERRUPTED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status: 0, 1 with a sentence on standard error, 2 for a misuse."""
    options = parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except BrokenPipeError:
        # As in `ipyproc logs train | head`: there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (IpyprocError, OSError) as error:
        print(f"ipyproc: {error}", file=sys.stderr)
        return _BROKEN


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; ``run`` of what it gives is the function for the command."""
    whole = argparse.ArgumentParser(
        prog="ipyproc", description="Kept jobs: started here or by %%spawn --keep, they outlive every kernel."
    )
    commands = whole.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=help)
        made.set_defaults(run=run)
        return made

    def job_of(made: argparse.ArgumentParser) -> None:
        made.add_argument("job", metavar="JOB", help="its name, id or pid, as 'ipyproc ls' shows them")

    ls = command("ls", verbs.ls, "List the jobs of this user.")
    ls.add_argument("--json", action="store_true", help="one JSON object a line")
    logs = command("logs", verbs.logs, "Write the output of a job, as it came.")
    job_of(logs)
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the job has ended")
    logs.add_argument("-n", "--lines", metavar="N", type=int, help="begin with its last N lines")
    attach = command("attach", verbs.attach, "Be the terminal of a job; the detach key leaves it running.")
    job_of(attach)
    attach.add_argument(
        "--detach-key", metavar="^X", default="^\\", help=r"the key that detaches (^\, which is Ctrl and \)"
    )
    send = command("send", verbs.send, "Write a line to a job's standard input.")
    job_of(send)
    send.add_argument("text", metavar="TEXT", nargs="?", default="", help="the line")
    send.add_argument("-n", dest="bare", action="store_true", help="without a newline")
    send.add_argument("--eof", action="store_true", help="end its input after that")
    stop = command("stop", verbs.stop, "Stop a job by SIGINT, SIGTERM and SIGKILL, and wait for its end.")
    job_of(stop)
    stop.add_argument("--grace", metavar="SECONDS", type=float, default=2.0, help="between the signals (2)")
    job_of(command("restart", verbs.restart, "Stop a job, and start it anew."))
    job_of(command("forget", verbs.forget, "Remove all that is kept of a job that has ended."))
    start = command("start", verbs.start, "Start a job that is kept.")
    start.add_argument("-n", "--name", help="its name; by default that of its program")
    start.add_argument("--pipes", action="store_true", help="run it on pipes, rather than on a terminal")
    start.add_argument("--cwd", metavar="DIR", help="its working directory")
    start.add_argument("--timeout", metavar="SECONDS", type=float, help="stop it after this time")
    start.add_argument("--restart", metavar="WHEN", default="no", help="no, on-failure or always")
    start.add_argument(
        "command",
        metavar="COMMAND",
        nargs=argparse.REMAINDER,
        help="a program with its arguments, or one script",
    )
    return whole

"""The help: what %spawn? and its like show, what help() has to say, and what Tab offers."""

from __future__ import annotations

import builtins
import dataclasses
import functools
import http.client
import inspect
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import ipyproc
import ipyproc.errors
import ipyproc.process
from ipyproc.bench.bench import ForkBench
from ipyproc.bench.model import BenchResult, BenchSnapshot
from ipyproc.model.group import GroupSnapshot
from ipyproc.model.state import Snapshot
from ipyproc.notebook.config import IPyProc
from ipyproc.notebook.magics import VERBS
from ipyproc.notebook.magics.base import SIGNS, by_call
from tests.notebook.kernels import Cell, Kernel
from tests.ports import free_port
from tests.support import wait_until

STARTING = ["%spawn", "%%fork", "%forkbench"]
CONTROLLING = [
    *("%close", "%forget", "%jobs", "%logs", "%restart", "%send", "%signal", "%stop", "%wait"),
]

OPTIONS = {
    SIGNS[kind] + name: sorted(option for option in verb.options() if option.startswith("--"))
    for (kind, name), verb in by_call(VERBS).items()
    if verb.options()
}


PORT = re.compile(r"\b80\d\d\b")


def page(kernel: Kernel, magic: str) -> str:
    """What ``%magic?`` shows."""
    (shown,) = [item for item in kernel.run(f"{magic}?").reply["payload"] if item["source"] == "page"]
    return re.sub(r"\x1b\[[0-9;]*m", "", shown["data"]["text/plain"])


def blocks(text: str) -> list[str]:
    """The code that stands below each ``::`` of a help's text."""
    return [dedent(block).strip() for block in re.findall(r"::\n\n((?:(?: {4}.*)?\n)+)", text + "\n")]


def examples(kernel: Kernel, magic: str) -> list[str]:
    """The cells in the help of a magic."""
    text = page(kernel, magic)
    (block,) = blocks(text[text.index("\nExamples::\n") :])
    return block.split("\n\n")


def everything(cell: Cell) -> str:
    """What a cell shows, and in which forms."""
    return cell.stdout + cell.shown + "".join(kind for display in cell.displays for kind in display.data)


def answer(port: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except (ConnectionRefusedError, TimeoutError):
        return ""
    finally:
        connection.close()


@pytest.fixture
def folder(kernel: Kernel) -> Path:
    """The kernel's folder, with the files that the examples name."""
    path = Path(kernel.ask("__import__('os').getcwd()"))
    (path / "Makefile").write_text("all:\n\t@echo made\ncheck:\n\t@echo checked\n")
    (path / "train.py").write_text("import sys\nprint('trained', *sys.argv[1:])\n")
    if not shutil.which("make") and not (path / "bin").exists():
        (path / "bin").mkdir()
        (path / "bin" / "make").write_text("#!/bin/sh\necho made\n")
        (path / "bin" / "make").chmod(0o755)
        kernel.run(f"import os\nos.environ['PATH'] += {':' + str(path / 'bin')!r}")
    kernel.run(
        "class Model:\n"
        "    def score(self, given):\n"
        "        return len(given)\n"
        "model, paths, rows = Model(), ['a.csv', 'b.csv', 'c.csv'], list(range(100))\n"
    )
    return path


# %spawn? and its like


def test_every_magic_is_among_those_that_are_tried_here() -> None:
    ours = {("%" if verb.magics["line"] else "%%") + verb.name for verb in VERBS}
    assert ours == {*STARTING, *CONTROLLING}


@pytest.mark.parametrize("magic", STARTING + CONTROLLING)
def test_the_help_of_a_magic_is_prose_of_eighty_columns_and_has_examples(kernel: Kernel, magic: str) -> None:
    prose = page(kernel, magic).partition("\noptions:\n")[0].partition("\nFile: ")[0]
    assert [line for line in prose.split("\n") if len(line) > 80] == []
    assert magic in prose and "%%%" not in prose
    for example in examples(kernel, magic):
        assert magic.lstrip("%") in example


@pytest.mark.parametrize(
    ("magic", "usage"),
    [
        ("%spawn", ["%spawn [options] command", "%%spawn [options] [command]"]),
        ("%%fork", ["%%fork [options]"]),
        ("%forkbench", ["%forkbench [options] [statement]", "%%forkbench [options] [setup]"]),
    ],
)
def test_the_help_shows_how_a_magic_is_written_and_explains_each_option(
    kernel: Kernel, magic: str, usage: list[str]
) -> None:
    text = page(kernel, magic)
    lines = [line.strip() for line in text.split("\n")]
    assert lines[3 : 3 + len(usage)] == usage
    table = text.split("\noptions:\n")[1]
    for option in OPTIONS[magic]:
        assert re.search(rf"^  (-\w.*, )?{option}\b.*\s\s+[A-Z]", table, re.MULTILINE), option


@pytest.mark.parametrize(
    ("magic", "promised"),
    [
        ("%spawn", ["train.py", "made\n", "1\n3\n"]),
        ("%%fork", ["worker 3\n", "c.csv 5\n"]),
        ("%forkbench", ["sum(range(10_000))", "model.score(rows)", "image/png"]),
    ],
)
def test_the_examples_of_what_starts_jobs_run_as_they_stand(
    kernel: Kernel, folder: Path, magic: str, promised: list[str]
) -> None:
    shown = examples(kernel, magic)
    # The port that stands there may be another program's, such as that of a second run of this.
    ports = [str(free_port()) if PORT.search(example) else "" for example in shown]
    # All at once: each measurement takes its seconds.
    cells = [kernel.start(PORT.sub(port, example)) for port, example in zip(ports, shown, strict=True)]
    for port, cell in zip(ports, cells, strict=True):
        kernel.finish(cell, timeout=200)
        assert cell.status == "ok", f"{cell.code}\n{cell.error}"
        if port:
            served = wait_until(lambda port=port: answer(port))
            assert "train.py" in served or "worker" in served
    kernel.ask_until("all(job.done for job in ipyproc.jobs if job.name not in ('web', 'shell'))", timeout=200)
    ends = kernel.ask("[(job.name, job.returncode) for job in ipyproc.jobs if job.name != 'web']")
    assert ends and not any(status for _, status in ends), ends
    assert not kernel.ask("'web' in ipyproc.jobs and ipyproc.jobs['web'].done")
    for text in promised:
        kernel.until(lambda text=text: any(text in everything(cell) for cell in cells))


CONTROLLED: dict[str, tuple[str, str, Callable[[Cell], bool]]] = {
    "%forget": (
        "-w true",
        "[job.name for job in jobs] == ['installer', 'counter', 'web']",
        lambda cell: not cell.displays,
    ),
    "%close": (
        "cat",
        "jobs['counter'].returncode == 0 and not jobs['build'].done",
        lambda cell: not cell.displays,
    ),
    "%signal": ("sleep 60", "jobs['web'].returncode == -1", lambda cell: not cell.displays),
    "%jobs": ("sleep 60", "jobs", lambda cell: "build" in cell.shown and "running" in cell.shown),
    "%logs": ("-w echo run", "jobs", lambda cell: cell.stdout.endswith("run\n")),
    "%restart": (
        "-w echo run",
        "jobs['build'].output == 'run\\nrun\\n'",
        lambda cell: "exit 0" in cell.shown,
    ),
    "%send": ("--pipes cat", "jobs['installer'].output == '/opt/thing\\n'", lambda cell: not cell.displays),
    "%stop": ("sleep 60", "jobs['build'].done and jobs['my server'].done", lambda cell: bool(cell.shown)),
    "%wait": ("sleep 0.2", "jobs['build'].done and jobs['docs'].done", lambda cell: "exit 0" in cell.shown),
}


@pytest.mark.parametrize("magic", CONTROLLING)
def test_the_examples_of_what_controls_jobs_run_as_they_stand(kernel: Kernel, magic: str) -> None:
    command, holds, shows = CONTROLLED[magic]
    for name in ("build", "docs", "installer", "my server", "counter", "web"):
        kernel.run(f"%spawn -q -n '{name}' {command}")
    for example in examples(kernel, magic):
        cell = kernel.run(example)
        assert cell.status == "ok" and not cell.stderr, f"{example}\n{cell.error}{cell.stderr}"
        kernel.until(lambda cell=cell: shows(cell))
    kernel.ask_until(f"bool((lambda jobs: {holds})(ipyproc.jobs))")


@pytest.mark.parametrize(
    ("name", "promised"),
    [
        ("ipyproc", ""),
        ("ipyproc.Job", "made\n"),
        ("ipyproc.spawn", "made\n"),
        ("ipyproc.fork", "worker 2 has 100000 words\n"),
        ("ipyproc.process.Subprocess", "apple\\npear"),
    ],
)
def test_the_examples_in_the_docstring_of_run_as_they_stand(
    kernel: Kernel, folder: Path, name: str, promised: str
) -> None:
    kernel.run("from ipyproc.process import Subprocess")
    found = blocks(kernel.ask(f"__import__('inspect').getdoc({name})"))
    cell = kernel.run("\n".join(found))
    assert found and cell.status == "ok", cell.error
    kernel.until(lambda: promised in cell.stdout)


# help()

CLASSES = [
    ipyproc.Job,
    ipyproc.JobTable,
    ipyproc.Result,
    ipyproc.WorkerGroup,
    ipyproc.process.Subprocess,
    ForkBench,
    BenchResult,
    Snapshot,
    GroupSnapshot,
    BenchSnapshot,
]


def public() -> Iterator[tuple[str, object]]:
    """All that is public, by its name in full."""
    for module in (ipyproc, ipyproc.process, ipyproc.errors):
        yield module.__name__, module
        for name in module.__all__:
            yield f"{module.__name__}.{name}", getattr(module, name)
    for owner in CLASSES:
        yield owner.__name__, owner
        for name in dir(owner):
            member = inspect.getattr_static(owner, name)
            is_property = isinstance(member, property | functools.cached_property)
            if not name.startswith("_") and (is_property or inspect.isroutine(member)):
                yield f"{owner.__name__}.{name}", member if is_property else getattr(owner, name)


PUBLIC = {name: it for name, it in public() if it is not subprocess.CalledProcessError}
ROUTINES = {name: it for name, it in PUBLIC.items() if inspect.isroutine(it) and callable(it)}


def section(it: object, title: str) -> dict[str, str]:
    """The entries of a section of a docstring, such as ``Args``."""
    found = re.search(rf"^{title}:\n((?: .*\n|\n)+)", f"{inspect.getdoc(it)}\n", re.MULTILINE)
    return dict(re.findall(r"^ {4}([\w.]+): (.*)", found[1], re.MULTILINE)) if found else {}


def parameters(routine: Callable[..., object]) -> list[str]:
    found = inspect.signature(routine).parameters.values()
    return [
        it.name for it in found if it.name != "self" and it.kind not in (it.VAR_POSITIONAL, it.VAR_KEYWORD)
    ]


def test_every_public_name_has_a_docstring_that_begins_with_a_sentence() -> None:
    assert len(PUBLIC) > 100
    first = {name: (inspect.getdoc(it) or "").split("\n")[0] for name, it in PUBLIC.items()}
    assert {name: line for name, line in first.items() if not re.fullmatch(r"[A-Z%`].*\.", line)} == {}


def test_every_parameter_is_explained_where_a_routine_has_several() -> None:
    missing = {}
    for name, routine in ROUTINES.items():
        explained = section(routine, "Args").keys() | re.findall(r"``(\w+)``", inspect.getdoc(routine) or "")
        if len(parameters(routine)) > 1 and not explained.issuperset(parameters(routine)):
            missing[name] = [it for it in parameters(routine) if it not in explained]
    assert missing == {}


def test_every_parameter_that_is_explained_exists() -> None:
    for name, routine in ROUTINES.items():
        assert section(routine, "Args").keys() <= set(parameters(routine)), name


@pytest.mark.parametrize("owner", [owner for owner in CLASSES if dataclasses.is_dataclass(owner)])
def test_every_field_is_explained(owner: type) -> None:
    explained = {name for parent in owner.__mro__ for name in section(parent, "Attributes")}
    fields = {field.name for field in dataclasses.fields(owner) if not field.name.startswith("_")}
    assert fields <= explained


def test_every_exception_that_a_docstring_names_exists() -> None:
    known = {
        **vars(builtins),
        **vars(ipyproc.errors),
        "subprocess.CalledProcessError": subprocess.CalledProcessError,
    }
    named = {error for it in PUBLIC.values() for error in section(it, "Raises")}
    assert len(named) > 10
    assert {error for error in named if not issubclass(known.get(error, object), BaseException)} == set()


# %config


def test_config_lists_every_setting_with_a_sentence_that_explains_it(kernel: Kernel) -> None:
    settings = IPyProc.class_own_traits(config=True)
    # The kernels of these tests have others.
    names = ("live_patience", "grace")
    before = [kernel.ask(f"get_ipython().run_line_magic('config', 'IPyProc.{name}')") for name in names]
    for name in names:
        kernel.run(f"%config IPyProc.{name} = {settings[name].default_value}")
    shown = " ".join(kernel.run("%config IPyProc").stdout.split())
    for name, value in zip(names, before, strict=True):
        kernel.run(f"%config IPyProc.{name} = {value}")
    assert shown.count("IPyProc.") == len(settings)
    for name, trait in settings.items():
        assert re.fullmatch(r"[A-Z].*\.", trait.help), name
        kind = type(trait).__name__
        assert f"IPyProc.{name}=<{kind}> {trait.help} Current: {trait.default_value}" in shown


# Tab


def completed(kernel: Kernel, line: str, after: str = "") -> list[str]:
    """What a line can become by Tab, with its cursor before ``after``."""
    content = {"code": line + after, "cursor_pos": len(line)}
    reply = kernel.request(kernel._shell, "complete_request", content)
    begin, end = line[: reply["cursor_start"]], (line + after)[reply["cursor_end"] :]
    return [begin + match + end for match in reply["matches"]]


@pytest.fixture
def named(kernel: Kernel) -> Kernel:
    for name in ("web-server", "g++", "my job", "it's on"):
        kernel.run(f'%spawn -q -n "{name}" sleep 60')
    return kernel


@pytest.mark.parametrize("magic", OPTIONS)
def test_all_its_options_are_offered_after(kernel: Kernel, magic: str) -> None:
    assert completed(kernel, f"{magic} --") == [f"{magic} {option}" for option in OPTIONS[magic]]
    if magic in CONTROLLING and magic != "%send":
        assert completed(kernel, f"{magic} build --")[:1] == [f"{magic} build {OPTIONS[magic][0]}"]


@pytest.mark.parametrize(
    "begun", ["%spawn --restart ", "%%spawn -q --restart=", '%spawn -n "a job" --restart ']
)
def test_the_restart_policies_are_offered_as_values(kernel: Kernel, begun: str) -> None:
    assert completed(kernel, begun) == [begun + policy for policy in ("always", "no", "on-failure")]
    assert completed(kernel, f"{begun}on") == [f"{begun}on-failure"]


@pytest.mark.parametrize("magic", CONTROLLING)
def test_names_of_jobs_are_offered_in_such_quotes_as_they_need(named: Kernel, magic: str) -> None:
    names = ["g++", "web-server", '"my job"', '"it\'s on"']
    assert sorted(completed(named, f"{magic} ")) == sorted(f"{magic} {name}" for name in names)
    for begun, full in [
        ("g", "g++"),
        ("g+", "g++"),
        ("web-", "web-server"),
        ('"my', '"my job"'),
        ('"my j', '"my job"'),
        ("'my j", "'my job'"),
        ("\"it's o", '"it\'s on"'),
        ('"web-', '"web-server"'),
    ]:
        assert completed(named, f"{magic} {begun}") == [f"{magic} {full}"]


def test_a_quote_that_the_editor_has_closed_is_not_closed_once_more(named: Kernel) -> None:
    assert completed(named, '%stop "my j', '"') == ['%stop "my job"']


def test_a_pattern_becomes_the_names_that_match_it(named: Kernel) -> None:
    assert completed(named, "%stop web-*") == ["%stop web-server"]
    assert sorted(completed(named, "%logs -n 5 *o*")) == ['%logs -n 5 "it\'s on"', '%logs -n 5 "my job"']
    assert not {"%logs -n g++", "%logs -n web-server"} & set(completed(named, "%logs -n "))


def test_a_name_that_is_there_is_not_offered_again(named: Kernel) -> None:
    assert '%stop g++ "my job" g++' not in completed(named, '%stop g++ "my job" ')
    assert completed(named, '%stop g++ "my job" w') == ['%stop g++ "my job" web-server']


def test_no_name_of_a_job_is_offered_where_none_is_wanted(named: Kernel) -> None:
    for line in ("%send g++ ", "%spawn ", "%%fork ", "%forkbench "):
        offered = completed(named, line)
        assert not [text for text in offered if "g++" in text.removeprefix(line) or "web-server" in text]

"""The name of a job that was given none, made of its command: the script's, the module's or the program's."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from ipyproc.model.shell import naming_words

__all__ = ["default_name"]

_LONGEST = 40

# Words that a script may begin with, and that would be useless as a job's name.
_SCRIPT_WORDS = {"case", "cd", "export", "for", "function", "if", "set", "source", "until", "while"}

# Programs that run the command after them, with those of their options that take a value.
_RUNNERS: Mapping[str, frozenset[str]] = {
    name: frozenset(options.split())
    for name, options in {
        "builtin": "",
        "command": "",
        "doas": "-C -u",
        "env": "-C -S -u --chdir --unset",
        "exec": "-a",
        "ionice": "-c -n --class --classdata",
        "nice": "-n --adjustment",
        "nohup": "",
        "setsid": "",
        "stdbuf": "-e -i -o --error --input --output",
        "sudo": "-C -D -g -h -p -R -T -U -u --chdir --group --user",
        "time": "-f -o --format --output",
        "timeout": "-k -s --kill-after --signal",
        "unbuffer": "",
        "xvfb-run": "-a -e -f -n -p -s -w",
    }.items()
}
_TAKING_A_WORD = {"timeout"}

# Those that run a command after a word of their own.
_RUN_WORDS: Mapping[str, str] = dict.fromkeys(
    ("conda", "hatch", "mamba", "micromamba", "pdm", "pipenv", "pixi", "poetry", "uv"), "run"
)
_RUN_OPTIONS = frozenset(
    (
        *("-n", "-p", "--directory", "--env-file", "--extra", "--group"),
        *("--name", "--prefix", "--project", "--python", "--with"),
    )
)

# Interpreters, whose first argument is a script, with those of their options that take a value.
_INTERPRETERS: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = tuple(
    (re.compile(pattern), frozenset(options.split()))
    for pattern, options in (
        (r"(python|pypy)[\d.]*|ipython3?", "-W -X --check-hash-based-pycs"),
        (r"(ba|da|k|mk|z|fi)?sh", "-o +o -O +O --init-file --rcfile"),
        (r"perl|ruby|node|nodejs|bun|php|lua|Rscript|julia|tclsh|wish|osascript", "-r --require --import -I"),
        (r"torchrun|deepspeed|accelerate-launch", "--nnodes --nproc_per_node --nproc-per-node --master_port"),
    )
)
_CODE = re.compile(r"-[a-zA-Z]*c$|-$")
_CODE_OF_OTHERS = re.compile(r"-[a-zA-Z]*[eE]$|-$")
_HAVING_C = re.compile(r"i?python.*|pypy.*|.*sh")
_OPERATORS = frozenset("();<>|&")


@lru_cache(maxsize=256)
def default_name(command: str | tuple[str, ...]) -> str:
    """Return the name for a job that was given none.

    ::

        python3 train.py --lr 0.1       train
        python3 -m http.server          http.server
        bash build.sh                   build
        uv run x.py                     x
        sudo -u me env A=1 make -j4     make
        cd app && npm start             npm
    """
    if not isinstance(command, str):
        words = list(command)
    else:
        lines = [line for line in command.strip().split("\n") if not re.match(r"\s*(#|$)", line)]
        first = lines[0] if lines else ""
        if (inside := re.match(r"(?:cd|pushd) [^;&|]*(?:&&|;)\s*", first)) and first[inside.end() :]:
            first = first[inside.end() :]
        words = naming_words(command) if command.startswith("#!") else _split(first)
    words = list(_command_in(words))
    if not words:
        return "job"
    program = os.path.basename(words[0])
    if program in _SCRIPT_WORDS:
        return "script"
    return _cleaned(_script_of(program, words[1:]) or program) or "job"


def _split(line: str) -> list[str]:
    """Return the words of the first command of a line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="".join(_OPERATORS))
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        for word in lexer:
            if not _OPERATORS.issuperset(word):
                words.append(word)
            elif words:
                break
    except ValueError:
        pass  # An open quote, as in a script whose first line has one.
    return words or line.split()


def _command_in(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of the command that others run, without assignments before it."""
    rest = list(words)
    while rest:
        name = os.path.basename(rest[0])
        if re.match(r"\w+\+?=", rest[0]):
            del rest[0]
        elif name in _RUNNERS and (inner := _after_options(rest[1:], _RUNNERS[name])):
            rest = inner[1:] if name in _TAKING_A_WORD and len(inner) > 1 else inner
        elif _RUN_WORDS.get(name) in rest[1:2] and (inner := _after_options(rest[2:], _RUN_OPTIONS)):
            rest = inner
        else:
            break
    yield from rest


def _after_options(words: Sequence[str], taking: frozenset[str]) -> list[str]:
    """Return the words from the first one that is no option, and no value of one."""
    position = 0
    while position < len(words) and words[position].startswith("-") and len(words[position]) > 1:
        position += 2 if words[position] in taking else 1
    return list(words[position:])


def _script_of(program: str, arguments: Sequence[str]) -> str:
    """Return the name of the script or module that an interpreter runs; empty if the program is none."""
    if program in ("uv", "java"):
        arguments = [word for word in arguments if word != "-jar"]
        is_script = bool(arguments) and arguments[0].endswith((".py", ".jar"))
        return _stem(arguments[0]) if is_script else ""
    taking = next((options for pattern, options in _INTERPRETERS if pattern.fullmatch(program)), None)
    if taking is None:
        # A script that is run by itself, as ./build.sh is.
        return _stem(program) if re.search(r"\.(py|sh|bash|zsh|pl|rb|js|ts|R|jl)$", program) else ""
    code = _CODE if _HAVING_C.fullmatch(program) else _CODE_OF_OTHERS
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "-m" and program.startswith(("python", "pypy")):
            return arguments[position + 1] if position + 1 < len(arguments) else ""
        if word.startswith("-m") and program.startswith(("python", "pypy")):
            return word[2:]
        if code.match(word):
            return ""  # The code itself is the argument, or standard input.
        if not word.startswith(("-", "+")):
            return _stem(word)
        position += 2 if word in taking else 1
    return ""


def _stem(path: str) -> str:
    name = os.path.basename(path)
    return os.path.splitext(name)[0] or name


def _cleaned(name: str) -> str:
    return re.sub(r"[^\w.+-]", "", name)[:_LONGEST]

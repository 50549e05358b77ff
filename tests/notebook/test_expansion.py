"""What the notebook knows is put into a line, name by name; all else stays as it is written."""

from __future__ import annotations

import os
import types
from pathlib import Path

import pytest

from ipyproc.notebook.expansion import expand

NAMES = {
    "word": "it",
    "n": 7,
    "x": 3.14159,
    "w": 8,
    "i": 3,
    "paths": ["a b", "c"],
    "table": {"a": "A", "k b": 2},
    "base": Path("/data"),
    "name": "file",
    "host": types.SimpleNamespace(port=80, inner=types.SimpleNamespace(deep="down")),
    "function": len,
    "module": os,
    "_": "last",
    "nothing": None,
    "größe": "L",
}


@pytest.mark.parametrize(
    ("line", "expanded"),
    [
        # what the notebook has
        ("echo {word} $word {n + 1}", "echo it it 8"),
        ("{x:.2f} {word!r} {word!r:>6} {n:03d} {x:{w}.1f}|", "3.14 'it'   'it' 007      3.1|"),
        ("--name shard-{i} $k", "--name shard-3 $k"),
        ('{table[\'a\']} {table["k b"]} "{table["a"]}"', 'A 2 "A"'),
        ("{' '.join(paths)} {[p for p in paths if n > i]} {len(paths)}", "a b c ['a b', 'c'] 2"),
        ("{60 * n} {n != 7} {word if n else i} {'ab' * 2}", "420 False it abab"),
        ("{base / 'x'} $base/x $name.txt $host.port $host.inner.deep.", "/data/x /data/x file.txt 80 down."),
        ("$größe {größe} {nothing}", "L L None"),
        ("it's $word", "it's it"),
        ("a\x0c{n}\u2028$n\x1c", "a\x0c7\u20287\x1c"),
        ("{ echo {n}; }", "{ echo 7; }"),
        # what is the shell's
        ("echo $HOME ${HOME} {n} {unknown}", "echo $HOME ${HOME} 7 {unknown}"),
        ("${word} ${word:-{n}} ${{ word }} ${#word}", "${word} ${word:-7} ${{ word }} ${#word}"),
        ("awk '{print $1}' '$n {n}' \"$n\"", "awk '{print $1}' '$n 7' \"7\""),
        ("{1..3} {a,b} {word,n} a{3} a{2,} stash@{1} {-1} {} -exec {} +", None),
        ("{print} {exit} {next} {function} $function $module {module}", None),
        ("kill $$ $? $1 $_ $__ $", None),
        (r"\$word \{n} \\", None),
        ('{"a": 1, "b": {"c": [1, 2]}}', None),
        ('{"a": {n}}', '{"a": 7}'),
        ("docker ps --format '{{.Names}} {{json .}}'", None),
        ("{1 / 0} {paths[9]} {table['z']} {n:nonsense} {word.nosuch} {n n} {(} {'} {", None),
        ("{lambda: n} {n=} {await n} {yield} {print(n) if} {n!x}", None),
        ("'{n", None),
        # how to say that it is the shell's
        ("$$word {{word}} {{n + 1}} {{{n}}}", "$word {word} {n + 1} {7}"),
        ("{{n},{i}}", "{7,3}"),
    ],
    ids=repr,
)
def test_a_line_is_expanded_name_by_name(line: str, expanded: str | None) -> None:
    assert expand(line, NAMES) == (line if expanded is None else expanded)


def test_an_expression_is_evaluated_once_and_changes_no_name() -> None:
    seen: list[int] = []
    names = {"seen": seen}
    assert expand("{seen.append(1) or len(seen)}", names) == "1"
    assert names.keys() == {"seen"}


def test_a_long_body_is_expanded_in_a_moment() -> None:
    assert expand("x{n}'" * 20_000, NAMES) == "x7'" * 20_000
    assert expand("{" * 20_000, NAMES) == "{" * 20_000

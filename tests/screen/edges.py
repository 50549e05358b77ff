"""Write the recordings of the edges, which no program here writes: ``python edges.py``."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent / "recordings"


def crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


def bars(width: int) -> str:
    frames = [f"\r{done * 10:3}%|{'#' * (done * width // 10):<{width}}| {done}/10" for done in range(11)]
    return "".join(frames) + "\n"


NUMBERED = "".join(f"{number:2}: {'abcdefghij' * 3}\n" for number in range(1, 24))

EDGES = {
    "edge_wide": crlf(
        "日本語のテキスト\n" + "あ" * 60 + "\n" + "x" + "漢" * 55 + "\n"
        "日本語\r\x1b[1CX\n日本語\r\x1b[3CY\n日本語\bZ\n日本語\r\x1b[2P\n日本語\r\x1b[1@-\n"
        "🚀 launch 🎉 done\n" + "🚀" * 51 + "\nＦｕｌｌ　ｗｉｄｔｈ\n한국어 텍스트\n"
    ),
    "edge_combining": crlf(
        "e\u0301a\u0300o\u0308 cafe\u0301\n" + "e\u0301" * 105 + "\nनमस्ते\nשָׁלוֹם\n\u4e2d\u0301x\n"
    ),
    "edge_wide_bar": crlf(bars(100) + "between\n" + bars(130) + bars(95) + "after\n"),
    "edge_wrap": crlf(
        "a" * 100
        + "\n"
        + "b" * 100
        + "c\n"
        + "d" * 100
        + "\be\n"
        + "f" * 100
        + "\x1b[Kg\n"
        + "h" * 100
        + "\x1b[Di\n"
        + "j" * 100
        + "\tk\n"
        + "l" * 99
        + "中\n"
        + "\x1b[?7l"
        + "m" * 120
        + "n\x1b[?7h\n"
        + "o" * 250
        + "\r\x1b[Ap\n"
        + "q" * 99
        + "\x1b[2Cr\n"
        + "s" * 200
        + "\rt\n"
        + "u" * 300
        + "\b\b\bv\n"
    ),
    "edge_tabs": crlf(
        "a\tb\tc\n\t\tdeep\n12345678\tx\n" + "y" * 97 + "\tz\tw\n\x1b[3g\x1b[10G\x1bH\r\tset\n"
        "\x1b[3g\x1b[20G\x1bH\x1b[40G\x1bH\r\tone\ttwo\tthree\n\x1b[50Gx\x1b[ZB\x1b[2ZC\n"
    ),
    "edge_insert_delete": crlf(
        NUMBERED + "\x1b[5;1H\x1b[2L\x1b[5;1Hinserted\x1b[10;3H\x1b[3M\x1b[12;5H\x1b[4@>>\x1b[13;5H\x1b[6P"
        "\x1b[14;5H\x1b[7X\x1b[15;8H\x1b[1K\x1b[16;8H\x1b[0K\x1b[17;8H\x1b[2K\x1b[18;4H\x1b[4hINS\x1b[4l"
        "\x1b[19;10H\x1b[5bZ\x1b[5b\x1b[23;1Hend\n"
    ),
    "edge_regions": crlf(
        NUMBERED
        + "\x1b[5;10r\x1b[10;1H"
        + "\nr1\nr2\nr3"
        + "\x1b[5;1H\x1bM\x1bMtop\x1b[r\x1b[23;1H"
        + "x\ny\nz\n"
        "\x1b[1;20r\x1b[20;1H" + "\ns1\ns2\ns3\ns4" + "\x1b[r\x1b[24;1H" + "t1\nt2\n"
        "\x1b[3;8r\x1b[?6h\x1b[1;1Horigin\x1b[99;1Hbottom\nagain\x1b[?6l\x1b[r\x1b[24;1H\x1b[2Sup\x1b[1;1H\x1b[1Tdown"
        "\x1b[24;1Hlast\n"
    ),
    "edge_status_line": crlf(
        "\n\x1b7\x1b[0;23r\x1b8\x1b[1A"
        + "".join(
            f"unpacking {number}\n\x1b7\x1b[24;0f\x1b[42m\x1b[30mProgress: [{number * 3:3}%]\x1b[49m\x1b[39m"
            f" [{'#' * number:.<60}] \x1b8"
            for number in range(1, 34)
        )
        + "\x1b7\x1b[0;24r\x1b8\x1b[1A\x1b[J"
        + "\nprompt$ "
    ),
    "edge_alternate": crlf(
        "before\nfull screen:\n\x1b[?1049h\x1b[H\x1b[2Jdrawn\x1b[24;90Hlast row!\x1b[12;1H"
        + "a\n" * 20
        + "\x1b[?1049lafter\n\x1b[?47hold\x1b[?47lold after\n\x1b[?1047hmore\x1b[?1047lend\n"
    ),
    "edge_in_alternate": crlf("before\n\x1b[?1049h\x1b[2J\x1b[3;5Hkilled here\x1b[24;1Hstatus"),
    "edge_erase": crlf(
        NUMBERED
        + "\x1b[10;5H\x1b[J"
        + "rest\n"
        + NUMBERED
        + "\x1b[10;5H\x1b[1J\x1b[20;1H\n"
        + "one\ntwo\n\x1b[H\x1b[2J"
        "cleared\n\x1b[44mblue\x1b[K\nrow\x1b[0m\x1b[K\n"
    ),
    "edge_saved": crlf(
        "a\x1b7b\nc\x1b8X\n\x1b[sone\x1b[utwo\n\x1b[31m\x1b7\x1b[0m\x1b[3;3Hmid\x1b8red\x1b[0m\nend\n"
    ),
    "edge_graphics": crlf("\x1b(0lqqqk\nx\x1b(B ok \x1b(0x\nmqqqj\x1b(B\n\x1b)0\x0eqqq\x0fqqq\n"),
    "edge_strings": crlf(
        "\x1b]0;a title\x07text\n\x1b]8;;https://example.org/\x1b\\a link\x1b]8;;\x1b\\ after\n"
        "\x1bP1$r0m\x1b\\dcs\n\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\done\n"
        "\x1b[38;2;1;2;3mrgb\x1b[0m \x1b[38:5:9mnine\x1b[m\n"
        "\x1b[1\n;2Hx\x1b[31\x18cancelled\n\x1b[?2004h\x1b[>4;2m\x1b[=1;1u\x1b[c\x1b[6nqueries\n\x1b%G\x1b=\x1b>keys\n"
    ),
    "edge_bare_line_feeds": "one\ntwo\nthree\r\nfour\x0bfive\x0csix\r\n\x1bDindex\x1bEnext\r\n",
    "edge_taken_back": crlf(
        "one\ntwo\nthree\n\x1b[2A\x1b[2KTWO\n\x1b[2KTHREE\nfour\n\n\n\x1b[3Ablank\n\nend\n"
    ),
    "edge_long_flood": crlf(
        "".join(f"line {number} {'z' * (number % 7 * 40)}\n" for number in range(60))
        + "\x1b[5A\rup\x1b[10B\n"
        + "".join(f"\x1b[3{number % 8}mcolour {number}\x1b[0m\n" for number in range(60))
        + "\x1b[30Atop\x1b[99Bend\n"
    ),
    "edge_overwritten": crlf(
        "abc\rX\nabcdef\b\b\bY\n12345\r\x1b[K67\nab\x1b[3Dc\n  \n\n\nlast\x1b[1K!\n\r\n\r\rcr\r\r\n"
    ),
    "edge_decaln": crlf("gone\n\x1b#8\x1b[5;5Hhole\x1b[24;1H\n"),
    "edge_reset": crlf("\x1b[5;8r\x1b[?6h\x1b[4hx\x1b[!pafter\n\x1b[31mred\n\x1bcclean\n"),
    "resize_lines": crlf("".join(f"{number}: {'word ' * (number % 50)}\n" for number in range(50)))
    + "prompt$ ",
    "resize_frames": crlf(
        bars(90) + "\n" + bars(40) + NUMBERED + "\x1b[3Aup\n\x1b[?25ldown\n" + NUMBERED + "end\n"
    ),
    "resize_wide": crlf("".join("漢字" * number + "\n" for number in range(40))),
    "resize_alternate": crlf(
        "".join(f"{'before ' * number}\n" for number in range(26))
        + "\x1b[?1049h\x1b[H"
        + NUMBERED
        + "\x1b[5;5Hmark\x1b[?1049lafter\nend\n"
    ),
}

# After which of its lines the screen gets which rows and columns.
RESIZES = {
    "resize_lines": [(16, 24, 60), (22, 10, 60), (30, 40, 80), (40, 24, 130)],
    "resize_frames": [(6, 24, 80), (14, 30, 80), (20, 12, 100)],
    "resize_wide": [(20, 24, 31), (30, 24, 77)],
    "resize_alternate": [(10, 20, 100), (35, 30, 70)],
}


def offset_of(name: str, line: int) -> int:
    return sum(len(text) + 1 for text in EDGES[name].encode().split(b"\n")[:line])


if __name__ == "__main__":
    for name, text in EDGES.items():
        (HERE / f"{name}.ansi").write_bytes(text.encode())
    resizes = {
        name: [[offset_of(name, line), rows, columns] for line, rows, columns in steps]
        for name, steps in RESIZES.items()
    }
    (HERE / "resizes.json").write_text(json.dumps(resizes, indent=1) + "\n")

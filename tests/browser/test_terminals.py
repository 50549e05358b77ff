"""What a terminal would show is shown in a page: bars move in place, and colours are colours."""

from __future__ import annotations

import sys

from tests.browser.lab import Lab, notebook
from tests.support import wait_until

_NESTED = """
import os, time
from tqdm import tqdm
for i in tqdm(range(3), desc="outer", mininterval=0):
    for n in tqdm(range(8), desc=f"inner {i}", leave=False, mininterval=0):
        while n == 4 and not os.path.exists(f"nested{i}"): time.sleep(0.02)
"""
_RICH = """
import os, time
from rich.progress import Progress
with Progress() as progress:
    tasks = [progress.add_task(name, total=24) for name in ("one", "two")]
    for n in range(24):
        while n in (6, 12, 18) and not os.path.exists(f"richly{n}"): time.sleep(0.02)
        for task in tasks:
            progress.advance(task)
"""


def test_bars_move_in_place_and_a_listing_has_colours(page: Lab) -> None:
    (page.server.files / "nested.py").write_text(_NESTED)
    (page.server.files / "richly.py").write_text(_RICH)
    notebook(
        page.server.files / "terminals.ipynb",
        # The plain form: a page is busy for a while when it shows its first live view.
        "%load_ext ipyproc\n%config IPyProc.live_view = False",
        f"%%spawn {sys.executable} nested.py",
        f"%%spawn {sys.executable} richly.py",
        "%%spawn --name listing\nmkdir -p folder && ls --color=auto",
    )
    page.open("terminals.ipynb")
    page.run_all()
    seen: dict[int, list[str]] = {1: [], 2: []}

    def watched() -> bool:
        for cell, shown in seen.items():
            text = page.output(cell)
            if not shown or text != shown[-1]:
                shown.append(text)
        return all("exit 0" in shown[-1] for shown in seen.values())

    def is_there(cell: int, *texts: str) -> bool:
        watched()
        return all(text in seen[cell][-1] for text in texts)

    # Each goes on when it has been seen.
    for step in range(3):
        wait_until(lambda step=step: is_there(1, "outer", f"inner {step}", "4/8"))
        (page.server.files / f"nested{step}").touch()
        percent = f"{25 * (step + 1)}%"
        wait_until(lambda percent=percent: is_there(2, "one", "two") and seen[2][-1].count(percent) == 2)
        (page.server.files / f"richly{6 * (step + 1)}").touch()
    wait_until(watched)
    for cell, bars in ((1, ("outer", "inner")), (2, ("one", "two"))):
        moving = [text for text in seen[cell] if all(bar in text for bar in bars)]
        assert len(set(moving)) > 2, seen[cell]
        assert all(text.count(bar) == 1 for text in moving for bar in bars), moving
    assert "inner" not in seen[1][-1] and "3/3" in seen[1][-1]
    assert seen[2][-1].count("100%") == 2
    page.wait_for(3, "folder")
    # Beside the word that is coloured there is text that is not.
    blue = page.page.locator(".jp-Notebook .jp-Cell").nth(3).locator("[class*=ansi-blue]")
    assert "folder" in blue.all_text_contents()
    assert not page.page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count()

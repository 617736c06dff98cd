"""The Python code in README.md and docs/ runs, and prints what it says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def run_page(text, name):
    """Run the ```python blocks of a page in one namespace; compare the output of >>> examples."""
    names = {"__name__": "__main__"}
    runner = doctest.DebugRunner(optionflags=doctest.ELLIPSIS)
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S):
        line = text.count("\n", 0, block.start(1))
        if ">>> " not in block[1]:
            exec(compile("\n" * line + block[1], name, "exec"), names)
            continue
        test = doctest.DocTestParser().get_doctest(block[1], names, name, name, line)
        runner.run(test, clear_globs=False)
        names = test.globs


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(page.read_text(encoding="utf-8"), page.name)


def test_links_lead_to_files():
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", prose):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\n>>> 1 + 1\n3\n```\n", doctest.DocTestFailure),
        ("```python\n>>> x = 1\n```\n```python\n>>> x / 0\n1\n```\n", doctest.UnexpectedException),
        ("```python\nassert False\n```\n", AssertionError),
    ],
)
def test_the_runner_finds_faults(text, error):
    with pytest.raises(error):
        run_page(text, "page")

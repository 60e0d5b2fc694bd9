"""A page in headless Chromium: what of it is wider than its place, and what it looks like."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

MEASURE = """
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {
  const page = frame.contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach(one => { one.open = true; });
  const style = one => frame.contentWindow.getComputedStyle(one);
  const named = one => one.tagName + ": " + one.textContent.trim().slice(0, 60);
  const outside = [...page.body.querySelectorAll("*")].filter(one => !one.closest(".scroll"));
  const found = {
    width: root.clientWidth,
    scrollWidth: root.scrollWidth,
    height: root.scrollHeight,
    elements: outside.length,
    wide: outside.filter(one => style(one).display != "inline"
      && one.clientWidth > 0 && one.scrollWidth > one.clientWidth).map(named),
    beyond: [...outside, ...page.querySelectorAll(".scroll")].filter(one =>
      one.getBoundingClientRect().right > root.clientWidth + 0.5).map(named),
    scrolling: [...page.querySelectorAll(".scroll")].filter(one =>
      one.scrollWidth > one.clientWidth).length,
    images: [...page.images].map(one => [one.naturalWidth, one.clientWidth]),
    background: style(page.body).backgroundColor,
  };
  document.querySelector("pre").textContent = JSON.stringify(found);
});
"""


def chromium() -> str:
    """Its command; without one the test is skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed")
    return found


def measured(page: str, width: int, folder: Path) -> dict[str, Any]:
    """The page in a frame of this width: a window is never as narrow as a telephone."""
    shown = _run(page, width, folder, "--dump-dom", script=MEASURE)
    found = re.search(r"<pre>(.*?)</pre>", shown, re.DOTALL)
    assert found is not None, shown[:2000]
    assert found[1], "the page was not loaded in time"
    plain: dict[str, Any] = json.loads(html.unescape(found[1]))
    return plain


def screenshot(page: str, width: int, height: int, path: Path, *more: str) -> None:
    """The first `height` pixels of the page."""
    size = f"--window-size={max(width, 500)},{height}"
    _run(page, width, path.parent, size, f"--screenshot={path}", *more, height=height)


def _run(
    page: str, width: int, folder: Path, *options: str, script: str = "", height: int = 1000
) -> str:
    framed = folder / f"framed-{width}.html"
    frame = f'<iframe style="border: 0; width: {width}px; height: {height}px" srcdoc="{{}}">'
    framed.write_text(
        '<!DOCTYPE html><meta charset="utf-8"><body style="margin: 0">'
        + frame.format(html.escape(page))
        + (f"</iframe><pre></pre><script>{script}</script>" if script else "</iframe>"),
        encoding="utf-8",
    )
    ran = subprocess.run(
        [
            *(chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--virtual-time-budget=20000", f"--user-data-dir={folder / 'profile'}"),
            *options,
            framed.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout

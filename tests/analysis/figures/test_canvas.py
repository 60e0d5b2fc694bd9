"""Figures that depend on the data alone."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
from PIL import Image

from analysis.figures.canvas import DPI, PRINT_DPI, SPLIT_COLOURS, Drawn, drawn, figure, png, shown


def small() -> bytes:
    with figure(2.0, 1.0) as made:
        made.subplots().plot([1, 2], label="x")
        return png(made)


def test_size_and_white_ground() -> None:
    with Image.open(io.BytesIO(small())) as image:
        assert image.size == (2 * DPI, DPI)
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        assert not {"Software", "Creation Time"} & set(image.info)


def test_the_users_settings_neither_enter_nor_change() -> None:
    plain = small()
    with matplotlib.rc_context({"lines.linewidth": 9, "savefig.dpi": 30, "font.size": 30}):
        assert small() == plain
        assert matplotlib.rcParams["lines.linewidth"] == 9
        assert matplotlib.rcParams["font.size"] == 30


def test_no_backend_is_chosen() -> None:
    # In a fresh interpreter: other tests may have chosen one.
    code = (
        "import sys, matplotlib\n"
        "from analysis.figures.canvas import figure, png\n"
        "with figure(1.0, 1.0) as made: png(made)\n"
        "print(matplotlib.get_backend(auto_select=False), 'matplotlib.pyplot' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[3]
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**environment, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.split() == ["None", "False"], ran.stderr


def test_splits_have_a_colour_each() -> None:
    assert list(SPLIT_COLOURS) == ["train", "val", "test"]
    assert len(set(SPLIT_COLOURS.values())) == 3


def test_text_without_a_glyph_is_a_box() -> None:
    assert shown("fl\xf6od \U0001f984 \u4e2d $x", 40) == "fl\xf6od \u25a1 \u25a1 $x"


def test_long_text_is_cut() -> None:
    assert shown("a\n b  c", 5) == "a b c"
    assert shown("abc def", 5) == "abc\u2026"
    assert shown("abcdefgh", 5) == "abcd\u2026"


def both_formats() -> Drawn:
    with figure(2.0, 1.0) as made:
        made.subplots().plot([1, 2])
        return drawn(made, name="lines", caption="A line.", alternative="It rises.")


def test_both_formats_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, second = both_formats(), both_formats()
    assert first == second
    assert first.pdf.startswith(b"%PDF") and b"CreationDate" not in first.pdf
    pdf_file, png_file = first.write(tmp_path)
    assert pdf_file.read_bytes() == first.pdf
    with Image.open(png_file) as image:
        assert image.size == (2 * PRINT_DPI, PRINT_DPI)

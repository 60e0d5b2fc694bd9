"""Decoding: geometry by hand, every pixel mode, and every kind of bad file."""

import io
import pickle
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from mi2p.data.views import MAX_PIXELS, BadImage, BadImages, View, decode, decode_all

RED = (255, 0, 0)
V32 = View(size=32)


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def bomb(path: Path, width: int, height: int) -> Path:
    """Write a grey PNG of a few bytes whose header promises width x height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def box_of_ink(view: npt.NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom), exclusive, of the pixels that are not white."""
    rows, columns = np.nonzero((view != 255).any(axis=0))
    return (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)


@pytest.mark.parametrize(
    ("width", "height", "size", "expected"),
    [
        # Size 128: margin round(3.84) = 4, inner 120.
        (200, 200, 128, (4, 4, 124, 124)),
        # 100 * 120 / 200 = 60 high, offset (128 - 60) // 2 = 34.
        (200, 100, 128, (4, 34, 124, 94)),
        (100, 200, 128, (34, 4, 94, 124)),
        # 120 * 15 / 200 = 9 high, offset 119 // 2 = 59: the odd white pixel is at the bottom.
        (200, 15, 128, (4, 59, 124, 68)),
        # 3 * 120 / 16 = 22.5, half up to 23, offset 52; enlarged from 16.
        (16, 3, 128, (4, 52, 124, 75)),
        # Far too long: at least one pixel.
        (4000, 1, 128, (4, 63, 124, 64)),
        # Reduced by 1003 // 480 = 2 first, with a box cut by the edge: 501 * 120 / 1003 = 59.94.
        (1003, 501, 128, (4, 34, 124, 94)),
        # Size 32: margin round(0.96) = 1, inner 30.
        (64, 64, 32, (1, 1, 31, 31)),
    ],
)
def test_longest_side_is_fitted(
    tmp_path: Path, width: int, height: int, size: int, expected: tuple[int, int, int, int]
) -> None:
    view = decode(
        save(Image.new("RGB", (width, height), RED), tmp_path / "a.png"), View(size=size)
    )
    assert view.shape == (3, size, size) and view.dtype == np.uint8
    assert box_of_ink(view) == expected
    left, top, right, bottom = expected
    assert (view[:, top:bottom, left:right] == np.array(RED)[:, None, None]).all()


def centre(path: Path) -> list[int]:
    return [int(value) for value in decode(path, V32)[:, 16, 16]]


def grey16(level: int) -> Image.Image:
    return Image.fromarray(np.full((8, 8), level, np.uint16))


def palette() -> Image.Image:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    return image


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        # Alpha over white: 255 * (1 - 51 / 255) = 204 white shows through alpha 51.
        (Image.new("RGBA", (8, 8), (255, 0, 0, 51)), {}, [255, 204, 204]),
        (Image.new("RGBA", (8, 8), (0, 0, 0, 0)), {}, [255, 255, 255]),
        (Image.new("LA", (8, 8), (0, 51)), {}, [204, 204, 204]),
        (palette(), {}, [10, 20, 30]),
        (palette(), {"transparency": 1}, [255, 255, 255]),
        (Image.new("RGB", (8, 8), RED), {"transparency": RED}, [255, 255, 255]),
        (Image.new("1", (8, 8), 0), {}, [0, 0, 0]),
        (Image.new("L", (8, 8), 77), {}, [77, 77, 77]),
        # 16 bits: 0x8000 of 0xFFFF is half, 0x80 of 0xFF.
        (grey16(0x8000), {}, [128, 128, 128]),
        (grey16(0xFFFF), {}, [255, 255, 255]),
        (grey16(0x0100), {"transparency": 0x0100}, [255, 255, 255]),
    ],
)
def test_every_mode_becomes_rgb_on_white(
    tmp_path: Path, image: Image.Image, options: dict[str, Any], expected: list[int]
) -> None:
    assert centre(save(image, tmp_path / "a.png", **options)) == expected


def test_hidden_colour_of_transparent_pixels_does_not_bleed(tmp_path: Path) -> None:
    image = Image.new("RGBA", (400, 400), (0, 0, 255, 0))
    image.paste((255, 0, 0, 255), (0, 0, 200, 400))
    red, green, blue = decode(save(image, tmp_path / "a.png"), V32).astype(int)
    # Red on white: red stays full everywhere, and blue, if any were mixed in, would exceed green.
    assert (red == 255).all() and (green == blue).all() and blue[16, 5] == 0


def test_reducing_first_agrees_with_lanczos_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).resize((1600, 1600))
    view = decode(save(smooth, tmp_path / "a.png"), View(size=64))
    alone = np.asarray(smooth.resize((60, 60), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    difference = np.abs(view[:, 2:62, 2:62].astype(int) - alone.astype(int))
    assert difference.max() <= 4 and difference.mean() < 0.6


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 32), RED)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right by 90 degrees to view
    view = decode(save(image, tmp_path / "a.png", exif=exif), V32)
    # 64 x 32 becomes 32 x 64: 15 wide, offset (32 - 15) // 2 = 8.
    assert box_of_ink(view) == (8, 1, 23, 31)


def truncated(path: Path) -> Path:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue()[:4000])
    return path


def test_bad_files_are_named_with_their_reason(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.png", tmp_path / "text.png"
    empty.write_bytes(b"")
    text.write_text("<svg/>")
    floats = save(Image.new("F", (8, 8)), tmp_path / "float.tiff")
    cases = [
        (empty, "the file is empty"),
        (text, "none of the formats PNG"),
        (tmp_path / "none.png", "does not exist"),
        (tmp_path, "Is a directory"),
        (truncated(tmp_path / "cut.png"), "truncated"),
        (bomb(tmp_path / "bomb.png", 25_000, 25_000), f"more than {MAX_PIXELS} pixels"),
        (floats, "mode F"),
    ]
    for path, reason in cases:
        with pytest.raises(BadImage, match=reason) as caught:
            decode(path, V32)
        assert caught.value.path == path
        assert str(path) in str(caught.value)


def test_the_limit_is_ours_whatever_pillow_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 13,378 squared is 178,970,884, just above the limit.
    path = bomb(tmp_path / "bomb.png", 13_378, 13_378)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(BadImage, match="13378 x 13378 pixels"):
        decode(path, V32)


def test_pillows_size_warning_does_not_reach_the_user(tmp_path: Path) -> None:
    # 90.25 million pixels: Pillow warns here; it is legal for us, only the data is missing.
    path = bomb(tmp_path / "large.png", 9_500, 9_500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadImage, match=r"truncated|incomplete"):
            decode(path, V32)


def test_decode_all_fills_rows_and_reports_progress(tmp_path: Path) -> None:
    paths = [save(Image.new("L", (8, 8), 10 * i), tmp_path / f"{i}.png") for i in range(9)]
    out = np.zeros((9, 3, 32, 32), np.uint8)
    seen: list[int] = []
    decode_all(paths, V32, out, 3, seen.append)
    assert seen == list(range(1, 10))
    assert [int(row[0, 16, 16]) for row in out] == [0, 10, 20, 30, 40, 50, 60, 70, 80]


def test_decode_all_collects_every_failure_in_order(tmp_path: Path) -> None:
    good = save(Image.new("L", (8, 8), 7), tmp_path / "good.png")
    paths = [tmp_path / f"missing{i:02}.png" for i in range(22)] + [good]
    out = np.zeros((23, 3, 32, 32), np.uint8)
    with pytest.raises(BadImages) as caught:
        decode_all(paths, V32, out, 2, lambda done: None)
    failures = caught.value.failures
    assert [(row, bad.path) for row, bad in failures.items()] == list(enumerate(paths[:22]))
    message = str(caught.value)
    assert message.startswith("22 of 23 images") and message.endswith("... and 2 more")
    assert "missing19.png: the file does not exist" in message and "missing20" not in message
    assert out[22, 0, 16, 16] == 7 and not out[:22].any()


def test_errors_survive_pickling(tmp_path: Path) -> None:
    errors = BadImages({2: BadImage(tmp_path, "why")}, 3)
    assert str(pickle.loads(pickle.dumps(errors))) == str(errors)


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    out = np.zeros((1, 3, 32, 32), np.uint8)
    with pytest.raises(ValueError, match=r"uint8 \(1, 3, 16, 16\)"):
        decode_all([tmp_path], View(size=16), out, 1, lambda done: None)
    with pytest.raises(ValueError, match="workers >= 1"):
        decode_all([tmp_path], V32, out, 0, lambda done: None)
    with pytest.raises(ValueError, match="size >= 1"):
        View(size=0)


@pytest.mark.parametrize(("width", "height"), [(900, 600), (600, 900), (500, 500), (64, 40)])
def test_crop_is_resize_and_centre_crop(tmp_path: Path, width: int, height: int) -> None:
    # Pillow's own two steps: the shorter side to 72, then the middle 64 x 64.
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    picture = coarse.resize((width, height), Image.Resampling.BICUBIC)
    found = decode(save(picture, tmp_path / "a.png"), View(size=64, kind="crop"))
    scale = 72 / min(width, height)
    across, down = round(width * scale), round(height * scale)
    resized = picture.resize((across, down), Image.Resampling.LANCZOS)
    left, top = (across - 64) // 2, (down - 64) // 2
    expected = np.asarray(resized.crop((left, top, left + 64, top + 64))).transpose(2, 0, 1)
    assert found.shape == expected.shape
    # Rounding of sides to whole pixels, and the odd pixel, move the picture by half a pixel.
    assert np.abs(found.astype(int) - expected).mean() < 4
    assert np.abs(found.astype(int) - np.roll(expected, 5, axis=2)).mean() > 8


def test_crop_leaves_out_the_ends_of_the_longer_side(tmp_path: Path) -> None:
    picture = Image.new("RGB", (300, 100), "white")
    picture.paste(RED, (100, 0, 200, 100))
    view = decode(save(picture, tmp_path / "a.png"), View(size=64, kind="crop"))
    assert (view == np.array(RED)[:, None, None]).all()  # 64 / 72 of 100 pixels: 89 of them
    picture.paste("blue", (148, 0, 152, 100))
    view = decode(save(picture, tmp_path / "a.png"), View(size=64, kind="crop"))
    assert np.flatnonzero(view[2, 32] > 128).tolist() in ([31, 32], [30, 31, 32, 33], [31, 32, 33])


@pytest.mark.parametrize("kind", ["fit", "crop"])
def test_a_border_surrounds_the_same_square(tmp_path: Path, kind: Any) -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (9, 13, 3), np.uint8)).resize((390, 270))
    path = save(picture, tmp_path / "a.png")
    alone = decode(path, View(size=64, kind=kind))
    bordered = decode(path, View(size=64, kind=kind, border=4))
    assert bordered.shape == (3, 72, 72)
    difference = np.abs(bordered[:, 4:-4, 4:-4].astype(int) - alone)
    assert difference.max() <= 1  # the crop's grid is computed from other numbers
    edge = np.concatenate([bordered[:, :4].ravel(), bordered[:, :, :4].ravel()])
    assert (edge == 255).all() == (kind == "fit")  # white, or more of the picture


def test_crop_of_a_strip_costs_no_more_than_another(tmp_path: Path) -> None:
    strip = save(Image.new("L", (60_000, 3), 77), tmp_path / "strip.png")
    assert (decode(strip, View(size=32, kind="crop")) == 77).all()


@pytest.mark.parametrize(("size", "border"), [(0, 0), (32, -1), (32, 3)])
def test_views_that_make_no_sense_are_refused(size: int, border: int) -> None:
    with pytest.raises(ValueError, match=f"must hold, but got size={size}, border={border}"):
        View(size=size, border=border)


def test_a_gif_that_is_called_jpg_shows_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("P", (8, 8), index) for index in (0, 1)]
    for frame in frames:
        frame.putpalette([255, 0, 0, 0, 0, 255])
    path = tmp_path / "a.jpg"
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])
    assert decode(path, V32)[:, 16, 16].tolist() == [255, 0, 0]


def test_an_offset_that_no_file_system_has_is_damage(tmp_path: Path) -> None:
    # Pillow seeks there, and the system's own error is not one of a disk that fails.
    path = tmp_path / "a.tif"
    path.write_bytes(b"II+\0" + struct.pack("<HHQ", 8, 0, 2**62) + bytes(64))
    with pytest.raises(BadImage):
        decode(path, V32)

"""What is found in picture files; hashes are worked by hand."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.describing.pictures import Picture, average_hash, scan
from tests.described import save_picture

# The left half light: 1111 0000 in each of 8 rows.
LEFT_LIGHT = int("f0" * 8, 16)


def look(*paths: Path, hashed: bool = True) -> list[Picture]:
    wanted = range(len(paths)) if hashed else ()
    return list(scan(paths, hashed=wanted, workers=2, progress=lambda done: None))


def half(mode: str, light: object, dark: object) -> Image.Image:
    """A picture whose left half is light."""
    image = Image.new(mode, (64, 48), dark)  # type: ignore[arg-type]
    image.paste(light, (0, 0, 32, 48))  # type: ignore[arg-type]
    return image


@pytest.mark.parametrize(
    ("mode", "light", "dark"),
    [
        ("1", 1, 0),
        ("L", 200, 100),
        ("LA", (0, 0), (0, 255)),  # transparent black is white
        ("RGB", (250, 250, 0), (250, 0, 0)),
        ("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)),
        ("CMYK", (0, 0, 0, 0), (0, 0, 0, 200)),
        ("I;16", 60000, 400),  # both would be 255 if clipped
        ("F", 1000.0, 600.0),
    ],
)
def test_the_hash_has_a_bit_for_each_cell_lighter_than_the_mean(
    mode: str, light: object, dark: object
) -> None:
    assert average_hash(half(mode, light, dark)) == LEFT_LIGHT


def test_the_first_bit_is_the_top_left_cell() -> None:
    image = Image.new("L", (80, 80))
    image.paste(255, (0, 0, 10, 10))
    assert average_hash(image) == 1 << 63


def test_a_flat_picture_has_no_bits() -> None:
    assert average_hash(Image.new("RGB", (9, 9), "white")) == 0
    assert average_hash(Image.new("RGBA", (1, 1), (7, 7, 7, 9))) == 0


def test_the_hash_is_that_of_cell_means_done_by_numpy() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (32, 40), np.uint8)
    means = levels.reshape(8, 4, 8, 5).mean(axis=(1, 3))  # (8, 8)
    ours = f"{average_hash(Image.fromarray(levels)):064b}"
    theirs = (means > means.mean()).ravel()
    # Pillow rounds means of cells to whole levels.
    sure = np.abs(means - means.mean()).ravel() > 1
    assert sure.sum() > 55
    assert [bit == "1" for bit, keep in zip(ours, sure, strict=True) if keep] == list(theirs[sure])


def test_jpeg_resized_and_encoded_again_keeps_its_hash(tmp_path: Path) -> None:
    big, small = tmp_path / "big.jpg", tmp_path / "small.jpg"
    half("RGB", (250, 250, 250), (10, 20, 30)).resize((1600, 1200)).save(big)
    with Image.open(big) as image:
        image.resize((200, 150)).save(small, quality=60)
    first, second = look(big, small)
    assert first.hash == second.hash == LEFT_LIGHT
    assert (first.size, second.size) == ((1600, 1200), (200, 150))
    assert (first.format, second.format) == ("JPEG", "JPEG")
    assert first.digest != second.digest


def test_a_rotation_in_the_metadata_is_undone(tmp_path: Path) -> None:
    image = half("RGB", "white", "black").rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert look(tmp_path / "turned.jpg")[0].hash == LEFT_LIGHT


def test_identical_files_have_one_digest(tmp_path: Path) -> None:
    one, copy, other = (
        save_picture(tmp_path / f"{i}.png", seed=seed) for i, seed in enumerate((1, 1, 2))
    )
    first, second, third = look(one, copy, other)
    assert first == second
    assert first.digest != third.digest


def test_unasked_pictures_are_opened_but_not_decoded(tmp_path: Path) -> None:
    path = save_picture(tmp_path / "a.png", seed=1)
    path.write_bytes(path.read_bytes()[:60])  # the header and nothing of the picture
    (header,) = look(path, hashed=False)
    assert header == Picture(size=(40, 30), format="PNG")
    (decoded,) = look(path)
    assert decoded.size == (40, 30)
    assert decoded.hash is None
    assert decoded.problem is not None


def test_unusable_files_have_a_problem_that_names_no_path(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    (tmp_path / "folder.jpg").mkdir()
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\0\0\0\0"
    (tmp_path / "bomb.png").write_bytes(header + b"\0" * 30)
    names = ("none.jpg", "empty.jpg", "page.jpg", "folder.jpg", "bomb.png")
    for hashed in (True, False):
        problems = [p.problem or "" for p in look(*(tmp_path / n for n in names), hashed=hashed)]
        assert problems[0] == "the file does not exist"
        assert problems[1].startswith("it is none of the formats PNG, JPEG")
        assert problems[2] == problems[1]
        assert problems[3] == "Is a directory"
        assert all(problems)
        assert not any(str(tmp_path) in problem or "0x" in problem for problem in problems)


def test_pillows_warnings_are_not_shown(tmp_path: Path) -> None:
    # 9500 x 9500 is above Pillow's limit for warnings and below that for errors.
    Image.new("1", (9500, 9500)).save(tmp_path / "large.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (large,) = look(tmp_path / "large.png")
    assert large == Picture(size=(9500, 9500), format="PNG", digest=large.digest, hash=0)


def test_progress_counts_every_file(tmp_path: Path) -> None:
    seen: list[int] = []
    paths = [save_picture(tmp_path / "a.png", seed=1), tmp_path / "none.png"]
    scan(paths, hashed=(0,), workers=1, progress=seen.append)
    assert seen == [1, 2]

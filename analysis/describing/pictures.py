"""Facts of picture files: the size in the header, the bytes, and what the picture looks like.

The average hash says what a picture looks like: it is shrunk to 8 x 8 cells of grey, and a bit
says whether a cell is lighter than the mean of all. It survives re-encoding and resizing.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mi2p.data.views import DECODE_ERRORS, FORMATS, LARGE_PIXELS, MAX_PIXELS, quiet_pillow

HASH_SIDE = 8
# JPEG decoders can shrink by up to 8 while they decode, which takes a fraction of the time; this
# many pixels are left at least, so that the cells of the hash are still means of many.
DRAFT_SIDE = 8 * HASH_SIDE

_large_picture = threading.Lock()


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """What was found in one file. What could not be found, or was not asked for, is None."""

    size: tuple[int, int] | None = None
    """Width and height in pixels."""
    format: str | None = None
    digest: str | None = None
    """Of the bytes of the file, in hex: equal for identical files."""
    hash: int | None = None
    """64 bits."""
    problem: str | None = None
    """Why the file cannot be used, without its path, so that every machine says the same."""


def scan(
    paths: Sequence[Path],
    *,
    hashed: Collection[int],
    workers: int,
    progress: Callable[[int], None],
) -> tuple[Picture, ...]:
    """Look at every file, in threads; those at the indices `hashed` are decoded, others not.

    `progress` is called in the caller's thread with the number of pictures dealt with so far.
    Unusable files do not raise: they have a `problem`.
    """
    wanted = frozenset(hashed)
    found = []
    with quiet_pillow():
        pool = ThreadPoolExecutor(max_workers=workers)
        try:
            looks = [pool.submit(_look, path, i in wanted) for i, path in enumerate(paths)]
            for done, look in enumerate(looks, start=1):
                found.append(look.result())
                progress(done)
        finally:
            # On Ctrl-C, do not first decode everything that is queued.
            pool.shutdown(cancel_futures=True)
    return tuple(found)


def average_hash(image: Image.Image) -> int:
    """The 64 bits of a decoded picture, the top left cell first; transparency is white."""
    if image.has_transparency_data:
        # Pillow weighs colours with alpha while it averages, so white can be laid below after.
        cells = _in_mode(image, "RGBA").resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BOX)
        white = Image.new("RGBA", cells.size, "white")
        grey = Image.alpha_composite(white, cells).convert("L")
    else:
        # 16-bit and floating-point grey would be clipped at 255 in any other mode.
        mode = "F" if image.mode[0] in "IF" else "L" if image.mode == "L" else "RGB"
        grey = _in_mode(image, mode).resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BOX)
        grey = _in_mode(grey, "F" if mode == "F" else "L")
    levels = np.asarray(grey, np.float64)  # (8, 8)
    bits = np.packbits(levels > levels.mean())
    return int.from_bytes(bits.tobytes(), "big")


def _look(path: Path, hashed: bool) -> Picture:
    size, format, digest = None, None, None
    try:
        if hashed:
            # Read once: the bytes are both digested and decoded.
            content = path.read_bytes()
            digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        with Image.open(io.BytesIO(content) if hashed else path, formats=FORMATS) as image:
            size, format = image.size, image.format
            _check_pixels(image)
            look = _decoded_hash(image) if hashed else None
    except DECODE_ERRORS as error:
        return Picture(size=size, format=format, digest=digest, problem=_problem(error))
    return Picture(size=size, format=format, digest=digest, hash=look)


def _check_pixels(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")


def _decoded_hash(image: Image.Image) -> int:
    # A large drawing takes a gigabyte while it is averaged, so one is in memory at a time.
    large = image.width * image.height > LARGE_PIXELS
    with _large_picture if large else nullcontext():
        image.draft("RGB", (DRAFT_SIDE, DRAFT_SIDE))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return average_hash(image)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    # `convert` copies even where there is nothing to convert.
    return image if image.mode == mode else image.convert(mode)


def _problem(error: Exception) -> str:
    """A reason that names neither the path nor an address in memory, as messages of PIL do."""
    if isinstance(error, FileNotFoundError):
        return "the file does not exist"
    if isinstance(error, UnidentifiedImageError):
        return f"it is none of the formats {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return f"its header promises more than {MAX_PIXELS} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"

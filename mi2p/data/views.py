"""Decode picture files into square uint8 RGB arrays, in one of two views.

`fit` shows the whole picture on white, for drawings: the margin on each side is
`round(0.03 * size)` pixels, the longest side gets the `size - 2 * margin` pixels between, the
other side is scaled by the same factor, rounded to nearest (half up), at least 1; the picture is
centred, with the odd pixel of white at the right or bottom.

`crop` shows the middle, for photos: the shorter side is scaled to 9/8 of `size`, then the central
square is cut out (Resize(288) and CenterCrop(256) at 256 px).

Small pictures are enlarged by the same rules. A `border` adds that many pixels on each side, of
white or of picture, from which augmentation may shift into the square.

Sampling: alpha is laid over white at full resolution; if the picture is more than `REDUCING_GAP`
times too large, whole boxes of pixels are averaged first (this also keeps memory down); then
Lanczos. Change any of this and `VIEW_VERSION` must change, because stores are keyed with it.

Legend: S = size + 2 * border.
"""

import errno
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

VIEW_VERSION = 1
MARGIN = 0.03
REDUCING_GAP = 4
# Pillow's own limit for errors. The largest legitimate OpenClipart drawing has 169 million
# pixels; the known decompression bombs there have 231 and 623 million.
MAX_PIXELS = 178_956_970
# A picture above this takes hundreds of megabytes decoded, so only two are in memory at a time.
LARGE_PIXELS = 50_000_000
STRIP_PIXELS = 4_000_000
# Named, because Pillow would otherwise try every plugin, among them one that runs Ghostscript.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
# What Pillow's decoders are known to raise on damaged files.
DECODE_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError,
    struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
# Errors of the system that tell of the file itself; Pillow's own about damage have no number.
# A damaged offset is EINVAL, EFBIG or EOVERFLOW when Pillow seeks there.
NOT_AN_IMAGE = (
    None, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG,
    errno.EINVAL, errno.EFBIG, errno.EOVERFLOW,
)  # fmt: skip
SHOWN_FAILURES = 20

_large_pictures = threading.BoundedSemaphore(2)


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """How a picture becomes a square; see the module's docstring."""

    size: int
    kind: Literal["fit", "crop"] = "fit"
    border: int = 0

    def __post_init__(self) -> None:
        if self.size < 1 or self.border < 0 or self.border * 16 > self.size:
            raise ValueError(
                "`size >= 1` and `0 <= border <= size / 16` must hold, but got "
                f"size={self.size}, border={self.border}."
            )

    @property
    def side(self) -> int:
        """Pixels on each side of the square."""
        return self.size + 2 * self.border


class BadImage(ValueError):
    """A picture file that cannot be used, with its `path` and the `reason`."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"Cannot use the image {path}: {reason}.")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type["BadImage"], tuple[Path, str]]:
        # The default would pass the message alone, and fail when crossing processes.
        return BadImage, (self.path, self.reason)


class BadImages(ValueError):
    """All picture files of one request that cannot be used: `failures` by index, in order."""

    def __init__(self, failures: Mapping[int, BadImage], total: int) -> None:
        shown = list(failures.values())[:SHOWN_FAILURES]
        lines = [f"  {bad.path}: {bad.reason}" for bad in shown]
        if len(failures) > SHOWN_FAILURES:
            lines.append(f"  ... and {len(failures) - SHOWN_FAILURES} more")
        message = f"{len(failures)} of {total} images cannot be used:\n" + "\n".join(lines)
        super().__init__(message)
        self.failures = dict(failures)
        self.total = total

    def __reduce__(self) -> tuple[type["BadImages"], tuple[dict[int, BadImage], int]]:
        return BadImages, (self.failures, self.total)


def decode(path: Path, view: View) -> npt.NDArray[np.uint8]:
    """Return the picture as (3, S, S), see the module's docstring.

    Not for several threads at once (Python's warning filters are global): use `decode_all`.

    Raises BadImage when the file is missing, empty, damaged, of an unknown format or mode, or
    larger than `MAX_PIXELS` (found in the header, before anything is decoded), and OSError when
    the file cannot be read now, which stores must not remember.
    """
    with quiet_pillow():
        return _decode(path, view)


def decode_all(
    paths: Sequence[Path],
    view: View,
    out: npt.NDArray[np.uint8],
    workers: int,
    progress: Callable[[int], None],
) -> None:
    """Decode `paths[i]` into `out[i]`, with `out` of shape (N, 3, S, S), in `workers` threads.

    Threads, because Pillow decodes without the interpreter lock: on the OpenClipart drawings
    they are as fast as processes (within 5 %) and can write into one array.
    `progress` is called in the caller's thread with the number of pictures dealt with so far.

    Raises BadImages, after trying all, with every failure; rows of failures are not written.
    """
    expected = (len(paths), 3, view.side, view.side)
    if out.shape != expected or out.dtype != np.uint8:
        raise ValueError(f"`out` must be uint8 {expected}, but got {out.dtype} {out.shape}.")
    if workers < 1:
        raise ValueError(f"`workers >= 1` must hold, but got {workers=}.")

    def decode_into(index: int) -> None:
        out[index] = _decode(paths[index], view)

    failures: dict[int, BadImage] = {}
    with quiet_pillow():
        pool = ThreadPoolExecutor(max_workers=workers)
        try:
            indices = {pool.submit(decode_into, index): index for index in range(len(paths))}
            for done, future in enumerate(as_completed(indices), start=1):
                error = future.exception()
                if isinstance(error, BadImage):
                    failures[indices[future]] = error
                elif error is not None:
                    raise error
                progress(done)
        finally:
            # On Ctrl-C or an unforeseen error, do not first decode everything that is queued.
            pool.shutdown(cancel_futures=True)
    if failures:
        raise BadImages({index: failures[index] for index in sorted(failures)}, len(paths))


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow about sizes (`MAX_PIXELS` decides) and about damaged metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _decode(path: Path, view: View) -> npt.NDArray[np.uint8]:
    with _damage_named(path):
        if os.path.getsize(path) == 0:
            raise BadImage(path, "the file is empty")
        image = Image.open(path, formats=FORMATS)
    with image:
        pixels = image.width * image.height
        if pixels > MAX_PIXELS:
            raise BadImage(path, _too_large(f"{image.width} x {image.height} pixels"))
        with _large_pictures if pixels > LARGE_PIXELS else nullcontext():
            with _damage_named(path):
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
            if image.mode == "F":
                raise BadImage(path, "floating-point pixels (mode F) have no defined white")
            return _square(image, view)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn what Pillow raises on a bad file into BadImage with a readable reason."""
    try:
        yield
    except BadImage:
        raise
    except FileNotFoundError as error:
        raise BadImage(path, "the file does not exist") from error
    except UnidentifiedImageError as error:
        raise BadImage(path, f"it is none of the formats {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise BadImage(path, _too_large(str(error))) from error
    except DECODE_ERRORS as error:
        if isinstance(error, OSError) and error.errno not in NOT_AN_IMAGE:
            # A disk that fails or a lock on a file says nothing about the image.
            error.add_note(f"while reading {path}")
            raise
        raise BadImage(path, f"{type(error).__name__}: {error}") from error


def _too_large(found: str) -> str:
    return f"its header promises more than {MAX_PIXELS} pixels, refused undecoded ({found})"


def _square(image: Image.Image, view: View) -> npt.NDArray[np.uint8]:
    square = _fitted(image, view) if view.kind == "fit" else _cropped(image, view)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))  # (3, S, S)


def _fitted(image: Image.Image, view: View) -> Image.Image:
    inner = view.size - 2 * round(MARGIN * view.size)
    longest = max(image.size)
    # Integer arithmetic: round(side * inner / longest), half up, on every machine alike.
    width, height = (max(1, (2 * side * inner + longest) // (2 * longest)) for side in image.size)
    factor = max(1, longest // (inner * REDUCING_GAP))
    # The box of the reduced picture that is covered: its last pixels may be cut by the edge.
    box = (0.0, 0.0, image.width / factor, image.height / factor)
    fitted = _reduced(image, factor).resize((width, height), Image.Resampling.LANCZOS, box=box)
    square = Image.new("RGB", (view.side, view.side), "white")
    left, top = (view.size - width) // 2 + view.border, (view.size - height) // 2 + view.border
    square.paste(fitted, (left, top))
    return square


def _cropped(image: Image.Image, view: View) -> Image.Image:
    shorter, scaled = min(image.size), view.size * 9 / 8
    factor = max(1, int(shorter // (scaled * REDUCING_GAP)))
    # The central square in pixels of the reduced picture; only that much is ever resized, so a
    # picture a thousand times as long as it is high costs no more than another.
    half = view.side * shorter / scaled / 2 / factor
    across, down = image.width / factor / 2, image.height / factor / 2
    box = (max(0.0, across - half), max(0.0, down - half), across + half, down + half)
    reduced = _reduced(image, factor)
    # Rounding may put the box beyond the edge by less than a millionth of a pixel.
    box = (*box[:2], min(box[2], reduced.width), min(box[3], reduced.height))
    return reduced.resize((view.side, view.side), Image.Resampling.LANCZOS, box=box)


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """Return the picture on white with boxes of `factor` x `factor` pixels averaged.

    Works through strips of whole boxes, so the result does not depend on the strips and only
    the decoded picture, never a converted copy of it, is in memory at full resolution.
    """
    boxes_across, boxes_down = (-(-side // factor) for side in image.size)
    reduced = Image.new("RGB", (boxes_across, boxes_down))
    strip_boxes = max(1, STRIP_PIXELS // (image.width * factor))
    for first in range(0, boxes_down, strip_boxes):
        bottom = min(image.height, (first + strip_boxes) * factor)
        strip = _on_white(image.crop((0, first * factor, image.width, bottom)))
        reduced.paste(strip.reduce(factor), (0, first))
    return reduced


def _on_white(image: Image.Image) -> Image.Image:
    """Return any mode as RGB, with transparent pixels over white."""
    if image.mode.startswith("I"):
        # 16-bit grey: Pillow's own conversion clips at 255 rather than scale.
        levels = np.asarray(image)
        grey = (np.clip(levels, 0, 65535) >> 8).astype(np.uint8)
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            grey[levels == transparent] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image.convert("RGB")

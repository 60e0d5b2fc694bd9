"""Made-up copies of CrisisMMD in the layouts in which it is published, small enough to train on.

Folders, file names, column names and label names are the real ones; tweets and images are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

AGREED = "crisismmd_datasplit_agreed_label"
ALL = "crisismmd_datasplit_all"
FILE_SPLITS = ("train", "dev", "test")

BASE = ("event_name", "tweet_id", "image_id", "tweet_text", "image", "label")
HEADER = (*BASE, "label_text", "label_image", "label_text_image")
OLD_DAMAGE_HEADER = ("Event_name", "Image_id", "Image", "Label")

HUMANITARIAN = (
    "infrastructure_and_utility_damage",
    "vehicle_damage",
    "rescue_volunteering_or_donation_effort",
    "affected_individuals",
    "injured_or_dead_people",
    "missing_or_found_people",
    "other_relevant_information",
    "not_humanitarian",
)
WORDS = ("bridge", "truck", "volunteers", "families", "victims", "missing", "weather", "kitten")
SEVERITIES = ("little_or_no_damage", "mild_damage", "severe_damage")
SEVERITY_WORDS = ("intact", "cracked", "collapsed")
EVENTS = ("hurricane_harvey", "mexico_earthquake", "california_wildfires")
# The columns label_text and label_image of the humanitarian files are merged, `label` is not.
MERGED = {
    "vehicle_damage": "infrastructure_and_utility_damage",
    "injured_or_dead_people": "affected_individuals",
    "missing_or_found_people": "affected_individuals",
}
WIDTH, HEIGHT = 80, 64


@dataclass(frozen=True, kw_only=True)
class Post:
    """A tweet with one of its images."""

    tweet: int
    number: int
    kind: int
    """Of HUMANITARIAN."""
    severity: int
    split: str
    damage_split: str
    agrees: bool = True

    @property
    def id(self) -> str:
        return f"{self.tweet}_{self.number}"

    @property
    def event(self) -> str:
        return EVENTS[self.tweet % len(EVENTS)]

    @property
    def image(self) -> str:
        ending = "png" if self.tweet % 7 == 0 else "jpg"
        return f"data_image/{self.event}/10_9_2017/{self.id}.{ending}"


def write_crisismmd(
    folder: Path,
    *,
    agreed: bool = True,
    doubled: bool = False,
    old_damage: bool = False,
    per_class: int = 4,
    seed: int = 0,
) -> Path:
    """Write a copy with all three tasks below `folder`; return the one with data_image/.

    Text and image both tell the label. `agreed` adds the files of the agreed labels to those of
    all, `doubled` puts every unpacked folder into one of its own name, and `old_damage` gives
    the damage files their older form, which has no texts.

    Each of the 8 humanitarian labels has `per_class` (at least 4) pairs in train and half as
    many in dev and test, two pairs of each file of all labels disagree, and Task 3 has moved one
    image to dev and one to test whose tweets are in train. So there are, per_class being 4:
    Task 1 32 / 16 / 16, Task 2 28 / 14 / 14, Task 3 26 / 15 / 15.
    """
    if per_class < 4:
        raise ValueError(f"`per_class` must be at least 4, but got {per_class}.")
    rng = np.random.default_rng(seed)
    posts = _posts(per_class)
    texts = {tweet: "" for tweet in sorted({post.tweet for post in posts})}
    for post in posts:
        texts[post.tweet] = texts[post.tweet] or _text(rng, post)
    inner = ("CrisisMMD_v2.0",) * (2 if doubled else 1)
    root = folder.joinpath(*inner)
    for post in posts:
        path = root / post.image
        path.parent.mkdir(parents=True, exist_ok=True)
        _picture(rng, post).save(path)
    every = root / ALL / ALL if doubled else root / ALL
    for split in FILE_SPLITS:
        of_split = [post for post in posts if post.split == split]
        _write_labels(every, split, "text_img", of_split, texts)
        _write_damage(every, split, posts, texts, old=old_damage)
        if agreed:
            place = root / AGREED / AGREED if doubled else root / AGREED
            both = [post for post in of_split if post.agrees]
            _write_labels(place, split, "text_img_agreed_lab", both, texts)
    return root


def write_tsv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[str]], end: str = "\n"
) -> Path:
    """Write a tab-separated file as it is published: UTF-8, nothing quoted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(row) + end for row in (header, *rows)]
    path.write_bytes("".join(lines).encode())
    return path


def _posts(per_class: int) -> list[Post]:
    posts: list[Post] = []
    tweet = 910000000000000000
    for split in FILE_SPLITS:
        count = per_class if split == "train" else per_class // 2
        for kind in range(len(HUMANITARIAN)):
            for index in range(count):
                # In train, every second image is the second one of a tweet.
                number = index % 2 if split == "train" else 0
                tweet += number == 0
                moved = {0: "dev", 1: "test"}.get(kind) if number == 1 and index == 1 else None
                posts.append(
                    Post(
                        tweet=tweet,
                        number=number,
                        kind=kind,
                        severity=(kind + index // 2 if split == "train" else kind + index) % 3,
                        split=split,
                        damage_split=moved or split,
                    )
                )
        for kind in (0, 6):
            tweet += 1
            posts.append(
                Post(
                    tweet=tweet,
                    number=0,
                    kind=kind,
                    severity=0,
                    split=split,
                    damage_split="",
                    agrees=False,
                )
            )
    return posts


def _write_labels(
    folder: Path, split: str, middle: str, posts: Sequence[Post], texts: dict[int, str]
) -> None:
    for kind in ("informative", "humanitarian"):
        rows = []
        for post in posts:
            fine = HUMANITARIAN[post.kind]
            label, negative = MERGED.get(fine, fine), "not_humanitarian"
            if kind == "informative":
                negative = "not_informative"
                fine = label = "informative" if label != "not_humanitarian" else negative
            of_image, sign = (label, "Positive") if post.agrees else (negative, "Negative")
            rows.append((*_base(post, texts), fine, label, of_image, sign))
        write_tsv(folder / f"task_{kind}_{middle}_{split}.tsv", HEADER, rows)


def _write_damage(
    folder: Path, split: str, posts: Sequence[Post], texts: dict[int, str], *, old: bool
) -> None:
    shown = [
        post
        for post in posts
        if post.damage_split == split and HUMANITARIAN[post.kind] != "not_humanitarian"
    ]
    if old:
        rows = [(post.event, post.id, post.image, SEVERITIES[post.severity]) for post in shown]
        write_tsv(folder / f"task_damage_{split}.tsv", OLD_DAMAGE_HEADER, rows)
    else:
        full = [(*_base(post, texts), SEVERITIES[post.severity]) for post in shown]
        write_tsv(folder / f"task_damage_text_img_{split}.tsv", BASE, full)


def _base(post: Post, texts: dict[int, str]) -> tuple[str, ...]:
    return post.event, str(post.tweet), post.id, texts[post.tweet], post.image


def _text(rng: np.random.Generator, post: Post) -> str:
    filler = rng.permutation(["this", "is", "what", "we", "saw", "today", "in", "town"])[:4]
    words = " ".join([*filler, WORDS[post.kind], SEVERITY_WORDS[post.severity]])
    start = f"RT @user{post.tweet % 10}: " if post.tweet % 3 == 0 else ""
    return f'{start}{words} &amp; "more #{post.event} https://t.co/{post.tweet % 9973}'


def _picture(rng: np.random.Generator, post: Post) -> Image.Image:
    """Noise around a colour for the kind; the larger the dark square, the more severe."""
    colour = [80 + 150 * bool(post.kind & bit) for bit in (1, 2, 4)]
    pixels = rng.normal(colour, 12, (HEIGHT, WIDTH, 3))
    side = 8 + 20 * post.severity
    top, left = (HEIGHT - side) // 2, (WIDTH - side) // 2
    pixels[top : top + side, left : left + side] = 10
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

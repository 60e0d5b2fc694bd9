"""Find CrisisMMD v2.0 on this machine, and in it the files that make a task.

Everything here is about folders and names; what the files say is read by `crisismmd.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mi2p.data.places import VARIABLE, DataUnavailable, find_folder

Task = Literal["crisismmd_task1", "crisismmd_task2", "crisismmd_task3"]

UNPACKED = "CrisisMMD_v2.0"
USUAL = (Path("data/crisismmd"), Path("data") / UNPACKED)
SPLIT_FOLDERS = ("crisismmd_datasplit_agreed_label", "crisismmd_datasplit_all", "task_data")
FILE_SPLITS = {"train": "train", "val": "dev", "test": "test"}
"""What the files call our splits."""

HOW_TO_GET_IT = f"""\
To get CrisisMMD v2.0, for research on humanitarian computing only; its tweets and images must
not be passed on:
  1. Download https://crisisnlp.qcri.org/data/crisismmd/{UNPACKED}.tar.gz (1.9 GB) and unpack
     it: `tar xzf {UNPACKED}.tar.gz`.
  2. In the folder {UNPACKED}, run `unzip crisismmd_datasplit_all.zip`. It has all three tasks;
     https://crisisnlp.qcri.org/data/crisismmd/crisismmd_datasplit_agreed_label.zip has the same
     pairs of Tasks 1 and 2 once more, and is not needed.
  3. Point to the folder, or to the one that holds it: `--data DIR` of the sweep scripts, or the
     environment variable {VARIABLE}=DIR. It should look like this:
       {UNPACKED}/data_image/<event>/<day>/<tweet>_<number>.jpg
       {UNPACKED}/crisismmd_datasplit_all/task_informative_text_img_train.tsv, ..."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way in which the three files of a task are published; `str` names them."""

    pattern: str
    columns: tuple[str, ...]
    """Those that are needed, in lower case; files may have more."""
    agreed: bool = False
    """The file has only the pairs whose text and image were given the same label."""

    def file(self, split: str) -> str:
        return self.pattern.format(FILE_SPLITS[split])

    def __str__(self) -> str:
        return self.pattern.format("{train,dev,test}")


_BASE = ("image_id", "tweet_text", "image", "label")


def _of_all_and_agreed(kind: str) -> tuple[Form, Form]:
    columns = (*_BASE, "label_text", "label_image", "label_text_image")
    agreed = f"task_{kind}_text_img_agreed_lab_{{}}.tsv"
    return (
        Form(pattern=agreed, columns=columns, agreed=True),
        Form(pattern=f"task_{kind}_text_img_{{}}.tsv", columns=columns),
    )


FORMS: dict[Task, tuple[Form, ...]] = {
    "crisismmd_task1": _of_all_and_agreed("informative"),
    "crisismmd_task2": _of_all_and_agreed("humanitarian"),
    "crisismmd_task3": (
        Form(pattern="task_damage_text_img_{}.tsv", columns=_BASE),
        Form(pattern="task_damage_{}.tsv", columns=("image_id", "image", "label")),
    ),
}
"""Best first. The second of Task 3 is older and without texts, which `TEXTS` have."""
TEXTS = tuple(
    Form(pattern=form.pattern, columns=("image_id", "tweet_text"))
    for form in reversed(FORMS["crisismmd_task1"])
)
"""Files with the texts of all images, and with those of the agreed labels."""


def data_folder(folder: Path) -> Path | None:
    """Return the folder with data_image/ for any of the places people point to, else None.

    That is `folder` itself, or CrisisMMD_v2.0/ (once or doubled) or crisismmd/ below it. A copy
    without images is found by its folders of splits.
    """
    bases = [
        base / inner
        for base in (folder, folder / "crisismmd")
        for inner in ("", UNPACKED, f"{UNPACKED}/{UNPACKED}")
    ]
    # Images first: the splits alone may have been unpacked a level too high.
    for sign in ("data_image", *SPLIT_FOLDERS):
        for base in bases:
            if (base / sign).is_dir():
                return base.absolute()
    return None


def locate(data_root: Path | None) -> Path:
    """Return the absolute folder of CrisisMMD, the one with data_image/.

    Looks only in `data_root` if given, else in $MI2P_DATA, then in ./data/crisismmd and
    ./data/CrisisMMD_v2.0.

    Raises DataUnavailable, naming every place looked at and how to get the data.
    """
    return find_folder(
        data_root,
        data_folder,
        usual=USUAL,
        expected="No CrisisMMD found. Expected data_image/ and crisismmd_datasplit_all/ in the "
        f"folder itself, in {UNPACKED}/ or in crisismmd/ below it.",
        how=HOW_TO_GET_IT,
    )


def split_folders(root: Path, splits: str = "") -> list[Path]:
    """Folders where the files of splits may lie, best first; they need not exist.

    `splits` names the only one below `root` that counts. Each may hold itself once more, as a
    zip does that was extracted into its own name.

    Raises ValueError when `splits` is not below `root`, and DataUnavailable when it is no folder.
    """
    if splits:
        if Path(splits).is_absolute() or ".." in Path(splits).parts:
            raise ValueError(f"`splits` must name a folder below {root}, but got {splits!r}.")
        if not (root / splits).is_dir():
            raise DataUnavailable(
                f"There is no folder {root / splits}.",
                f"`splits` names a folder below {root}; leave it empty for the official splits.",
            )
        folders = [root / splits]
    else:
        # The zips are also unpacked beside the folder instead of in it.
        bases = [root, root.parent] if root.name == UNPACKED else [root]
        folders = [base / name for base in bases for name in SPLIT_FOLDERS] + [root]
    return [place for folder in folders for place in (folder, folder / folder.name)]


def find_files(
    what: str, forms: Sequence[Form], folders: Sequence[Path]
) -> tuple[Form, dict[str, Path]]:
    """Return the best form of which a folder has all three files, and the file of each split.

    Raises DataUnavailable, naming the files and folders looked for, and incomplete sets.
    """
    incomplete: list[str] = []
    for form in forms:
        for folder in folders:
            files = {split: folder / form.file(split) for split in FILE_SPLITS}
            absent = [file.name for file in files.values() if not file.is_file()]
            if not absent:
                return form, files
            if len(absent) < len(files):
                incomplete.append(f"{folder} lacks {' and '.join(absent)}")
    looked = ", ".join(map(str, folders))
    reason = f"{what} needs {', or '.join(map(str, forms))}. Looked in: {looked}."
    if incomplete:
        reason += f" Incomplete: {'; '.join(incomplete)}."
    zips = {file for folder in folders for file in folder.parent.glob("crisismmd_datasplit_*.zip")}
    if zips:
        reason += f" Not unpacked: {', '.join(sorted(map(str, zips)))}."
    raise DataUnavailable(reason, HOW_TO_GET_IT)


def shown(files: dict[str, Path], form: Form, root: Path) -> str:
    """Name the three files of a form, from `root`."""
    return os.path.join(os.path.relpath(files["train"].parent, root), str(form))

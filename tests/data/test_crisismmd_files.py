"""Finding CrisisMMD where people unpack it, and saying what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mi2p.data.crisismmd_files import FORMS, find_files, locate, split_folders
from mi2p.data.places import VARIABLE, DataUnavailable
from tests.crisismmd_layout import AGREED, ALL, write_crisismmd

TASK1 = FORMS["crisismmd_task1"]


def made(root: Path, *folders: str) -> Path:
    for name in folders:
        (root / name).mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "CrisisMMD_v2.0",
        "CrisisMMD_v2.0/CrisisMMD_v2.0",
        "crisismmd",
        "crisismmd/CrisisMMD_v2.0",
        "crisismmd/CrisisMMD_v2.0/CrisisMMD_v2.0",
    ],
)
def test_it_is_found_in_and_below_the_folder_given(tmp_path: Path, inside: str) -> None:
    root = made(tmp_path / inside, "data_image")
    assert locate(tmp_path) == root


@pytest.mark.parametrize("sign", [ALL, AGREED, "task_data"])
def test_splits_alone_are_found_but_images_come_first(tmp_path: Path, sign: str) -> None:
    made(tmp_path, sign)
    assert locate(tmp_path) == tmp_path
    root = made(tmp_path / "CrisisMMD_v2.0", "data_image")
    assert locate(tmp_path) == root


@pytest.mark.parametrize("usual", ["data/crisismmd", "data/CrisisMMD_v2.0"])
def test_usual_places_are_looked_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usual: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    root = made(tmp_path / usual, "data_image")
    assert locate(None) == root
    configured = made(tmp_path / "configured", "data_image")
    monkeypatch.setenv(VARIABLE, str(configured))
    assert locate(None) == configured
    assert locate(Path(usual)) == root


def test_nowhere_says_what_to_get_and_for_what_it_may_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable) as caught:
        locate(tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    for said in (
        "https://crisisnlp.qcri.org/data/crisismmd/CrisisMMD_v2.0.tar.gz (1.9 GB)",
        "crisismmd_datasplit_all.zip",
        "research on humanitarian computing only",
        "CrisisMMD_v2.0/data_image/<event>/<day>/",
        "--data DIR",
    ):
        assert said in message


def found(root: Path, task: str = "crisismmd_task1") -> Path:
    form, files = find_files(task, FORMS[task], split_folders(root))  # type: ignore[index]
    assert [file.name for file in files.values()] == [
        form.pattern.format(name) for name in ("train", "dev", "test")
    ]
    assert list(files) == ["train", "val", "test"]
    return files["train"].relative_to(root.parent)


def test_files_of_agreed_labels_come_first_and_all_of_them_must_be_there(tmp_path: Path) -> None:
    root = write_crisismmd(tmp_path)
    agreed = Path(root.name, AGREED, "task_informative_text_img_agreed_lab_train.tsv")
    every = Path(root.name, ALL, "task_informative_text_img_train.tsv")
    assert found(root) == agreed
    (root / AGREED / "task_informative_text_img_agreed_lab_test.tsv").unlink()
    assert found(root) == every
    assert found(root, "crisismmd_task2").parent == agreed.parent


def test_doubled_folders_are_looked_into(tmp_path: Path) -> None:
    root = write_crisismmd(tmp_path, doubled=True)
    assert root == tmp_path / "CrisisMMD_v2.0/CrisisMMD_v2.0"
    assert locate(tmp_path) == root
    assert found(root).parent == Path(root.name, AGREED, AGREED)
    assert found(root, "crisismmd_task3").parent == Path(root.name, ALL, ALL)


@pytest.mark.parametrize("place", ["", "task_data", "../" + ALL])
def test_files_may_lie_in_the_folder_in_task_data_or_beside(tmp_path: Path, place: str) -> None:
    root = write_crisismmd(tmp_path, agreed=False)
    shutil.copytree(root / ALL, root / place, dirs_exist_ok=True)
    shutil.rmtree(root / ALL)
    assert locate(tmp_path) == root
    assert find_files("task", TASK1, split_folders(root))[0] == TASK1[1]


def test_a_missing_file_is_named_with_all_that_would_do(tmp_path: Path) -> None:
    root = write_crisismmd(tmp_path, agreed=False)
    (root / ALL / "task_informative_text_img_dev.tsv").unlink()
    with pytest.raises(DataUnavailable) as caught:
        found(root)
    message = caught.value.reason
    assert "crisismmd_task1 needs" in message
    assert "task_informative_text_img_agreed_lab_{train,dev,test}.tsv, or " in message
    assert f"{root / ALL}, {root / ALL / ALL}" in message
    assert f"Incomplete: {root / ALL} lacks task_informative_text_img_dev.tsv." in message
    assert "Not unpacked" not in message


def test_a_packed_zip_is_pointed_out(tmp_path: Path) -> None:
    root = made(tmp_path / "CrisisMMD_v2.0", "data_image")
    (root / "crisismmd_datasplit_all.zip").touch()
    with pytest.raises(DataUnavailable) as caught:
        found(root)
    assert f"Not unpacked: {root / 'crisismmd_datasplit_all.zip'}." in caught.value.reason
    assert "Incomplete" not in caught.value.reason


def test_another_folder_of_splits_is_the_only_one(tmp_path: Path) -> None:
    made(tmp_path, "mine/a")
    assert split_folders(tmp_path, "mine/a") == [tmp_path / "mine/a", tmp_path / "mine/a/a"]
    with pytest.raises(DataUnavailable, match=r"There is no folder .*none.\n`splits` names"):
        split_folders(tmp_path, "none")
    for outside in ("../mine", str(tmp_path / "mine")):
        with pytest.raises(ValueError, match=r"`splits` must name a folder below .*, but got"):
            split_folders(tmp_path, outside)

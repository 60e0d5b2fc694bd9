"""The OpenClipart tasks, on a generated tree in the packages' layout and on a real copy."""

import csv
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

import mi2p.data
from mi2p.data import openclipart, openclipart_files
from mi2p.data.openclipart import SPLITS_FILE, TAGS_FILE, frequent_keywords, read
from mi2p.data.places import DataUnavailable
from mi2p.data.svg_metadata import read_metadata
from mi2p.spec import DataSpec

SVG = """<svg xmlns:cc="http://creativecommons.org/ns#" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><metadata><rdf:RDF><cc:Work>
<dc:creator><cc:Agent><dc:title>Somebody</dc:title></cc:Agent></dc:creator>
<dc:title>{title}</dc:title><dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>
</cc:Work></rdf:RDF></metadata></svg>"""

# id, title in the file, title cleaned, label, split, keywords
DRAWINGS = [
    ("food/apple", "Clipart by Ann - red_apple", "red apple", "food", "train", "fruit Food x"),
    ("food/pear", " pear ", "pear", "food", "val", "fruit"),
    ("animals/birds/owl", "Chou\xebtte", "Chou\xebtte", "animals", "test", "bird x"),
    ("signs/no", "no", "no", "flags", "train", "other"),
]


@dataclass(frozen=True)
class Tree:
    """A generated copy: the folder unpacked, its drawings, and the project's two files."""

    unpacked: Path
    drawings: Path
    splits: Path
    tags: Path

    def read(self, task: openclipart.Task = "openclipart") -> mi2p.data.Dataset:
        return read(self.unpacked, task=task, splits=self.splits, tags=self.tags)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    drawings = tmp_path / "usr/share/openclipart"
    rows = ["id,title,label,group,split"]
    for id, raw, title, label, split, keywords in DRAWINGS:
        svg, png = drawings / f"svg/{id}.svg", drawings / f"png/{id}.png"
        for file in (svg, png):
            file.parent.mkdir(parents=True, exist_ok=True)
        items = "".join(f"<rdf:li>{word}</rdf:li>" for word in keywords.split())
        svg.write_text(SVG.format(title=raw, items=items), encoding="utf-8")
        png.write_bytes(b"png")
        rows.append(f"{id},{title},{label},0,{split}")
    splits, tags = tmp_path / "splits.csv", tmp_path / "tags.csv"
    splits.write_text("\n".join(rows), encoding="utf-8")
    tags.write_text("id,tags\nfood/apple,food;fruit\nfood/pear,fruit\nanimals/birds/owl,bird\n")
    return Tree(tmp_path, drawings, splits, tags)


def test_single_label_task(tree: Tree) -> None:
    data = tree.read()
    assert (data.name, data.multilabel) == ("openclipart", False)
    assert data.classes == ("animals", "flags", "food")
    assert [(e.id, e.text, e.labels, e.split) for e in data.examples] == [
        ("food/apple", "red apple", (2,), "train"),
        ("food/pear", "pear", (2,), "val"),
        ("animals/birds/owl", "Chou\xebtte", (0,), "test"),
        ("signs/no", "no", (1,), "train"),
    ]
    assert data.examples[2].image == tree.drawings / "png/animals/birds/owl.png"
    assert len(data.fingerprint) == 16


def test_tags_task_leaves_out_drawings_without_tags(tree: Tree) -> None:
    data = tree.read("openclipart-tags")
    assert (data.name, data.multilabel) == ("openclipart-tags", True)
    assert data.classes == ("bird", "food", "fruit")
    assert [(e.id, e.labels) for e in data.examples] == [
        ("food/apple", (1, 2)),
        ("food/pear", (2,)),
        ("animals/birds/owl", (0,)),
    ]


def test_folder_with_png_and_svg_is_accepted_as_root(tree: Tree) -> None:
    data = read(tree.drawings, task="openclipart", splits=tree.splits, tags=tree.tags)
    assert data == tree.read()


def test_all_differences_are_reported_at_once(tree: Tree) -> None:
    (tree.drawings / "png/food/apple.png").unlink()
    (tree.drawings / "svg/signs/no.svg").write_text("broken")
    pear = tree.drawings / "svg/food/pear.svg"
    pear.write_text(pear.read_text().replace(" pear ", "peer"))
    with pytest.raises(ValueError) as caught:
        tree.read()
    message = str(caught.value)
    assert "1 of 8 files are missing: png/food/apple.png" in message
    assert "1 of 4 SVG files cannot be read: signs/no (it is not well-formed XML" in message
    assert "1 of 4 titles differ: food/pear ('peer', expected 'pear')" in message


def test_only_the_first_few_differences_are_printed(tree: Tree) -> None:
    for file in [*tree.drawings.rglob("*.png"), *tree.drawings.rglob("*.svg")]:
        file.unlink()
    with pytest.raises(ValueError, match=r"8 of 8 files are missing: .*, \.\.\. and 3 more$"):
        tree.read()


def test_other_keywords_are_refused_for_tags_only(tree: Tree) -> None:
    apple = tree.drawings / "svg/food/apple.svg"
    apple.write_text(apple.read_text().replace("<rdf:li>Food</rdf:li>", ""))
    no = tree.drawings / "svg/signs/no.svg"
    no.write_text(no.read_text().replace("other", "bird"))
    tree.read()
    with pytest.raises(ValueError) as caught:
        tree.read("openclipart-tags")
    message = str(caught.value)
    assert "2 of 4 drawings have other keywords" in message
    assert "food/apple (['fruit'], expected ['food', 'fruit'])" in message
    assert "signs/no (['bird'], expected [])" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,tags\nfood/none,fruit\n", "1 are not: food/none"),
        ("id,tags\nfood/pear,fruit;fruit\n", "distinct tags"),
        ("id,tags\nfood/pear,\n", "distinct tags"),
        ("id,tags\nfood/pear,fruit\nfood/pear,x\n", "each drawing once"),
        ("id,words\nfood/pear,fruit\n", r"lacks \['tags'\]"),
        ("id,tags\nfood/pear\n", "all its cells"),
    ],
)
def test_damaged_tags_file_is_refused(tree: Tree, content: str, message: str) -> None:
    tree.tags.write_text(content)
    with pytest.raises(ValueError, match=message):
        tree.read("openclipart-tags")


def test_unknown_task_name_and_root_are_refused(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of openclipart, openclipart-tags, but got 'x'"):
        read(tree.unpacked, task="x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"one of openclipart, .*, mmimdb, but got 'x'"):
        mi2p.data.read(DataSpec(name="x"))
    with pytest.raises(DataUnavailable, match=r"Looked at: .*nothing"):
        mi2p.data.read(DataSpec(name="openclipart"), tmp_path / "nothing")


def test_frequent_keywords() -> None:
    words = {"a": ("x", "y"), "b": ("y", "x", "y"), "c": ("z", "y"), "d": ("z", "z")}
    # x is on 2 drawings, y on 3, z on 2: repeats within a drawing count once.
    assert frequent_keywords(words, 3) == {"a": ("y",), "b": ("y",), "c": ("y",)}
    assert frequent_keywords(words, 2) == {
        "a": ("x", "y"), "b": ("x", "y"), "c": ("y", "z"), "d": ("z",)
    }  # fmt: skip


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_projects_own_files_define_the_tasks() -> None:
    rows = rows_of(SPLITS_FILE)
    assert Counter(row["split"] for row in rows) == {"train": 1315, "val": 439, "test": 439}
    assert len({row["label"] for row in rows}) == 11
    groups: dict[str, set[str]] = {}
    for row in rows:
        groups.setdefault(row["group"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in groups.values())

    split_of = {row["id"]: row["split"] for row in rows}
    tags = {row["id"]: row["tags"].split(";") for row in rows_of(TAGS_FILE)}
    counts = Counter(tag for words in tags.values() for tag in words)
    assert (len(tags), len(counts), counts.total()) == (1618, 26, 3132)
    assert min(counts.values()) == 50
    used = Counter(split_of[id] for id in tags)
    assert used == {"train": 963, "val": 314, "test": 341}


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = (
        "import sys, mi2p.data;"
        "print([name for name in ('torch', 'ray', 'numpy', 'PIL') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[]\n", "")


REAL = os.environ.get("MI2P_TEST_OPENCLIPART")


@pytest.mark.skipif(REAL is None, reason="MI2P_TEST_OPENCLIPART names no copy of OpenClipart 0.18")
def test_real_drawings() -> None:
    assert REAL is not None
    data = mi2p.data.read(DataSpec(name="openclipart"), Path(REAL))
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [1315, 439, 439]
    tagged = mi2p.data.read(DataSpec(name="openclipart-tags"), Path(REAL))
    assert [len(tagged.split(name)) for name in ("train", "val", "test")] == [963, 314, 341]
    svg = openclipart_files.locate(Path(REAL)) / "svg"
    keywords = {e.id: read_metadata(svg / f"{e.id}.svg").keywords for e in data.examples}
    expected = {row["id"]: tuple(row["tags"].split(";")) for row in rows_of(TAGS_FILE)}
    assert frequent_keywords(keywords) == expected

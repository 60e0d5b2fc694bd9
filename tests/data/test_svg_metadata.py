"""Titles and keywords from SVG metadata, well-formed, odd and broken."""

import pickle
from pathlib import Path

import pytest

from mi2p.data.svg_metadata import BadSvg, clean_title, read_metadata

HEAD = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:cc="http://web.resource.org/cc/"
 xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><metadata><rdf:RDF>"""
TAIL = "</rdf:RDF></metadata><path d='M0,0'/></svg>"


def write(path: Path, work: str, tail: str = TAIL, encoding: str = "utf-8") -> Path:
    path.write_bytes(f"{HEAD}<cc:Work>{work}</cc:Work>{tail}".encode(encoding))
    return path


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Bee", "Bee"),
        ("  flamand_bw ", "flamand bw"),
        ("Clipart by Nicu Buculei - bee", "bee"),
        ("Clipart by A. B - a_b - c", "a b - c"),
        ("My Clipart by X - bee", "My Clipart by X - bee"),
        ("two\n  lines", "two lines"),
        ("_", ""),
    ],
)
def test_clean_title(raw: str, expected: str) -> None:
    assert clean_title(raw) == expected


def test_title_of_the_creator_before_the_works_is_not_taken(tmp_path: Path) -> None:
    work = (
        "<dc:creator><cc:Agent><dc:title>Ann Author</dc:title></cc:Agent></dc:creator>"
        "<!-- note --><dc:title>red &amp; green_apple</dc:title>"
    )
    assert read_metadata(write(tmp_path / "a.svg", work)).title == "red & green apple"


def test_keywords_are_lower_case_distinct_and_sorted(tmp_path: Path) -> None:
    items = "".join(f"<rdf:li>{word}</rdf:li>" for word in ("Food", "apple", " food ", "", "A  b"))
    work = f"<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>"
    metadata = read_metadata(write(tmp_path / "a.svg", work))
    assert metadata.keywords == ("a b", "apple", "food") and metadata.title == ""


def test_first_work_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.svg", "<dc:title>one</dc:title>", "<cc:Work/>" + TAIL)
    assert read_metadata(path).title == "one"


def test_damage_behind_the_metadata_does_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "a.svg", "<dc:title>one</dc:title>", "<< & \xff")
    assert read_metadata(path).title == "one"


def test_metadata_at_the_very_end_and_across_chunks_is_found(tmp_path: Path) -> None:
    for length in range(8192 - 60, 8192 + 60, 7):
        work = f"<!--{'x' * (length - len(HEAD) - 20)}--><dc:title>one</dc:title>"
        path = write(tmp_path / "a.svg", work, tail="")
        assert read_metadata(path).title == "one"


def test_declared_latin_1_is_read_and_undeclared_is_refused(tmp_path: Path) -> None:
    work = "<dc:title>Caf\xe9</dc:title>"
    undeclared = write(tmp_path / "a.svg", work, encoding="latin-1")
    with pytest.raises(BadSvg, match="not well-formed"):
        read_metadata(undeclared)
    declared = tmp_path / "b.svg"
    declared.write_bytes(b"<?xml version='1.0' encoding='ISO-8859-1'?>" + undeclared.read_bytes())
    assert read_metadata(declared).title == "Caf\xe9"
    declared.write_bytes(b"<?xml version='1.0' encoding='klingon'?>" + undeclared.read_bytes())
    with pytest.raises(BadSvg, match="not well-formed"):
        read_metadata(declared)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no element found"),
        (b"<svg/>", "no cc:Work"),
        (b"<svg><unclosed>", "not well-formed"),
        (b"not xml", "not well-formed"),
        (b"<svg><cc:Work/></svg>", "not well-formed .*unbound prefix"),
    ],
)
def test_files_without_readable_metadata_are_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.svg"
    path.write_bytes(content)
    with pytest.raises(BadSvg, match=message) as caught:
        read_metadata(path)
    assert caught.value.path == path
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSvg, match="does not exist"):
        read_metadata(tmp_path / "none.svg")
    with pytest.raises(BadSvg, match="Is a directory"):
        read_metadata(tmp_path)

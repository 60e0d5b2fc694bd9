"""What tests of several modules need."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from PIL import Image

from mi2p.data.openclipart import SPLITS_FILE


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packaged data's layout: real ids and titles, small generated pictures."""
    folder = tmp_path_factory.mktemp("openclipart")
    with SPLITS_FILE.open(encoding="utf-8") as file:
        for index, row in enumerate(csv.DictReader(file)):
            picture = folder / "png" / f"{row['id']}.png"
            text = folder / "svg" / f"{row['id']}.svg"
            picture.parent.mkdir(parents=True, exist_ok=True)
            text.parent.mkdir(parents=True, exist_ok=True)
            color = (len(row["label"]) * 20 % 256, index % 256, index * 7 % 256)
            Image.new("RGB", (8, 8), color).save(picture)
            text.write_text(
                '<svg xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
                'xmlns:cc="http://web.resource.org/cc/" '
                'xmlns:dc="http://purl.org/dc/elements/1.1/">'
                '<metadata><rdf:RDF><cc:Work rdf:about="">'
                f"<dc:title>{escape(row['title'])}</dc:title>"
                "</cc:Work></rdf:RDF></metadata></svg>",
                encoding="utf-8",
            )
    return folder

"""The one style sheet and the one script: all sources are in them, and browsers keep them as long as they are right."""

import gzip
import re
from pathlib import Path

import pytest
from django.test import Client

from pier_site import assets
from pier_site.assets import SCRIPTS, STYLES, joined
from tests.support.factories import make_world

ROOT = Path(__file__).resolve().parents[2]
APPS = ("pier_site", "viewer", "critique")


def test_every_source_is_joined_once() -> None:
    folders = [ROOT / app / "static" for app in APPS]
    files = [path.relative_to(folder) for folder in folders for path in folder.rglob("*.*")]
    for listed, suffix in ((STYLES, ".css"), (SCRIPTS, ".js")):
        assert sorted(listed) == sorted(str(path) for path in files if path.suffix == suffix)


def test_the_layers_are_named_before_any_is_filled() -> None:
    first = re.search(r"@layer [^;{]*[;{]", joined("site.css").text)
    assert first
    assert first[0] == "@layer reset, tokens, base, layout, components;"


def test_scripts_neither_import_nor_export() -> None:
    # They are joined as texts: what one knows, others hear of by events.
    assert not re.search(r"^\s*(import|export)\b", joined("site.js").text, flags=re.MULTILINE)


@pytest.mark.django_db
def test_a_page_asks_for_one_style_sheet_and_one_script(client: Client, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    client.force_login(world.viewer)
    page = client.get(world.trial.get_absolute_url()).content.decode()
    assert re.findall(r'<link rel="stylesheet" href="([^"]*)"', page) == [joined("site.css").address]
    assert re.findall(r'<script[^>]* src="([^"]*)"', page) == [joined("site.js").address]


@pytest.mark.parametrize("name", ["site.css", "site.js"])
def test_everybody_gets_an_asset_and_keeps_it(name: str, client: Client) -> None:
    found = joined(name)
    answer = client.get(found.address)
    assert answer.content.decode() == found.text
    assert answer["Content-Type"] == found.content_type
    assert answer["Cache-Control"] == "public, max-age=31536000, immutable"
    packed = client.get(found.address, headers={"accept-encoding": "gzip, br"})
    assert packed["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.content) == answer.content
    assert answer["Vary"] == packed["Vary"] == "Accept-Encoding"
    assert client.post(found.address).status_code == 405


def test_what_is_not_the_asset_that_was_asked_for_is_not_kept(client: Client) -> None:
    answer = client.get("/assets/0123456789abcdef/site.css")
    assert answer.content.decode() == joined("site.css").text
    assert answer["Cache-Control"] == "no-cache"
    assert client.get("/assets/0123456789abcdef/settings.py").status_code == 404


def test_a_changed_source_has_another_address(settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    source = tmp_path / "own.css"
    settings.STATICFILES_DIRS = [tmp_path]
    settings.DEBUG = True
    monkeypatch.setattr(assets, "STYLES", ("own.css",))
    source.write_text("p { color: red; }")
    before = joined("site.css").address
    assert joined("site.css").address == before
    source.write_text("p { color: blue; }")
    assert joined("site.css").address != before
    source.unlink()
    with pytest.raises(FileNotFoundError, match=r"own\.css"):
        joined("site.css")

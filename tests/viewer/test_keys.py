"""The list of keys names every key that a page answers to, and takes none of the browser's own."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = [*(ROOT / "viewer/templates").rglob("*.html"), *(ROOT / "pier_site/templates").rglob("*.html")]
LISTED = set(re.findall(r"<kbd>([^<]+)</kbd>", (ROOT / "viewer/templates/viewer/_keys.html").read_text()))
SCRIPT = (ROOT / "viewer/static/viewer/keys.js").read_text()


def test_every_key_that_a_page_answers_to_is_in_the_list() -> None:
    in_pages = {key for path in TEMPLATES for key in re.findall(r'data-key="([^"{]+)"', path.read_text())}
    in_script = set(re.findall(r"^  (\w): \[", SCRIPT, flags=re.MULTILINE))
    in_script |= set(re.findall(r'event\.key === "(.)"', SCRIPT))
    assert {"j", "k", "e", "E", "/"} <= in_script
    assert in_pages | in_script == LISTED


def test_no_other_script_listens_to_single_keys() -> None:
    scripts = (ROOT / "viewer/static/viewer").rglob("*.js")
    listening = {path.name for path in scripts if re.search(r"addEventListener\(\s*[\"']key", path.read_text())}
    assert listening == {"keys.js"}, "one module looks whether keys are switched off and nobody types"


def test_the_list_is_closed_with_a_button_and_opened_by_a_link() -> None:
    layout = (ROOT / "viewer/templates/viewer/layout.html").read_text()
    assert re.search(r'<form method="dialog">\s*<button', layout)
    assert "data-help" in (ROOT / "pier_site/templates/_topbar.html").read_text()

"""The table of markers is compared with the kinds that there are."""

import re
from pathlib import Path

from runs.models import Marker

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/markers.md"


def test_every_kind_of_marker_is_explained_and_no_other() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE) == Marker.Kind.values

"""Every test that the page of attacks and faults names exists, and every row names one."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "design" / "010-faults.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| (?!no\.|fault |---)", line)]


def test_every_row_names_a_test() -> None:
    assert len(ROWS) >= 27 + 18
    assert [row for row in ROWS if not NAMED.search(row)] == []


def test_every_test_that_is_named_exists() -> None:
    named = set(NAMED.findall(PAGE))
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if not (ROOT / path).is_file() or not re.search(rf"(?m)^(async )?def {name}\(", (ROOT / path).read_text())
    ]
    assert missing == []

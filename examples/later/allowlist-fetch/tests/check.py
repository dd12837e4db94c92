"""Check the saved page and its title; exit 0 when both are right, else 1."""

import re
import sys
from pathlib import Path

try:
    page = Path("/app/page.html").read_text(encoding="utf-8")
    title = Path("/app/title.txt").read_text(encoding="utf-8")
except (OSError, ValueError) as error:
    sys.exit(f"nothing to check: {error}")
found = re.search(r"<title>([^<]*)</title>", page, re.IGNORECASE)
if found is None or found[1].strip() != "Example Domain":
    sys.exit("/app/page.html is not the page of example.com")
if title != "Example Domain\n":
    sys.exit(f"/app/title.txt is {title!r}")
print("page and title are right")

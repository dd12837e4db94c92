"""Compare /app/changes.json with the changes the image was built with."""

import json
import sys
from pathlib import Path

EXPECTED = [
    {"number": 98, "kind": "fix", "text": "Opening an empty archive no longer fails with a traceback."},
    {"number": 101, "kind": "feature", "text": "Search results can be sorted by date."},
    {"number": 112, "kind": "fix", "text": "The export writes UTF-8 on every platform."},
    {"number": 120, "kind": "feature", "text": "A job can be cancelled while it runs."},
]

try:
    found = json.loads(Path("/app/changes.json").read_text(encoding="utf-8"))
except (OSError, ValueError) as error:
    sys.exit(f"/app/changes.json cannot be read: {error}")
if found != EXPECTED:
    sys.exit(f"expected {json.dumps(EXPECTED, indent=2)}\nfound {json.dumps(found, indent=2)}")
print(f"{len(EXPECTED)} changes collected as expected")

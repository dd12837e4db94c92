"""Compare /app/stock.json with the sums of all pages; exit 0 when they are equal, else 1."""

import json
import sys
from pathlib import Path

EXPECTED = {"anchor": 12, "bolt": 42, "nut": 40, "screw": 70, "washer": 111}

try:
    found = json.loads(Path("/app/stock.json").read_text(encoding="utf-8"))
except (OSError, ValueError) as error:
    sys.exit(f"/app/stock.json cannot be read: {error}")
if found != EXPECTED:
    sys.exit(f"expected {EXPECTED}, found {found}")
print("every sum is right")

#!/bin/bash
set -euo pipefail

cd /app
python3 - <<'PYTHON'
import json
import re
from pathlib import Path

changes = []
for path in Path("changes").iterdir():
    name = re.fullmatch(r"(\d+)\.(feature|fix|breaking)\.md", path.name)
    text = " ".join(path.read_text(encoding="utf-8").split())
    if name and text:
        changes.append({"number": int(name[1]), "kind": name[2], "text": text})
changes.sort(key=lambda change: change["number"])
Path("changes.json").write_text(json.dumps(changes, indent=2) + "\n", encoding="utf-8")
print(f"collected {len(changes)} changes")
PYTHON

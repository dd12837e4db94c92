#!/bin/bash
set -euo pipefail

cd /app
python3 - <<'PYTHON'
import json
from pathlib import Path

changes = json.loads(Path("changes.json").read_text(encoding="utf-8"))
kinds = {change["kind"] for change in changes}
raised = 0 if "breaking" in kinds else 1 if "feature" in kinds else 2
numbers = [int(number) for number in Path("VERSION").read_text(encoding="ascii").strip().split(".")]
numbers = [*numbers[:raised], numbers[raised] + 1, *[0] * (2 - raised)]
version = ".".join(map(str, numbers))

lines = [f"# {version}"]
for kind, heading in (("breaking", "Breaking changes"), ("feature", "Features"), ("fix", "Fixes")):
    entries = [f"- {change['text']} (#{change['number']})" for change in changes if change["kind"] == kind]
    if entries:
        lines += ["", f"## {heading}", "", *entries]
Path("RELEASE_NOTES.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
Path("VERSION").write_text(version + "\n", encoding="ascii")
print(f"published {version}")
PYTHON

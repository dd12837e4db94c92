#!/bin/bash
set -euo pipefail

cd /app
python3 - <<'PYTHON'
import re
import urllib.request
from pathlib import Path

body = urllib.request.urlopen("https://example.com/", timeout=30).read()
Path("page.html").write_bytes(body)
title = re.search(r"<title>([^<]*)</title>", body.decode("utf-8"), re.IGNORECASE)[1].strip()
Path("title.txt").write_text(title + "\n", encoding="utf-8")
print(title)
PYTHON

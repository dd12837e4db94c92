"""Check the raised version and the published notes, and write the reward."""

from pathlib import Path

VERSION = "1.5.0\n"
NOTES = """\
# 1.5.0

## Features

- Search results can be sorted by date. (#101)
- A job can be cancelled while it runs. (#120)

## Fixes

- Opening an empty archive no longer fails with a traceback. (#98)
- The export writes UTF-8 on every platform. (#112)
"""

reward = 0.0
for path, expected in (("/app/VERSION", VERSION), ("/app/RELEASE_NOTES.md", NOTES)):
    try:
        found = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"FAIL {path}: {error}")
        continue
    if found == expected:
        reward += 0.5
        print(f"ok   {path}")
    else:
        print(f"FAIL {path}: expected\n{expected}\nfound\n{found}")
Path("/logs/verifier/reward.txt").write_text(f"{reward}\n", encoding="ascii")

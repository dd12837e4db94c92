"""What the allowlist of a trial let through and what it refused: network.jsonl, one JSON object a connection."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

Verdict = Literal["allowed", "refused", "failed"]

# A sandbox that asks without end must not fill the disk.
MAX_JOURNAL_BYTES: Final = 4 * 1024 * 1024
MAX_REASON_LENGTH: Final = 300


@dataclass(slots=True)
class Passage:
    """One connection to the proxy. `allowed` without a reason went well; `failed` is the fault of the way there.

    Paths, headers and bodies are not kept: they may hold secrets.
    """

    method: str = ""
    host: str = ""
    port: int = 0
    verdict: Verdict = "refused"
    reason: str = ""
    sent_bytes: int = 0
    received_bytes: int = 0


class Journal:
    """Adds lines to a file, up to a limit; without a path it keeps nothing. The file appears with the first line."""

    def __init__(self, path: Path | None, *, limit: int = MAX_JOURNAL_BYTES) -> None:
        self._path = path
        self._limit = limit

    def add(self, passage: Passage) -> None:
        """Write one line; the last one of a full journal says that it is full."""
        if self._path is None:
            return
        passage.reason = passage.reason[:MAX_REASON_LENGTH]
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time, **asdict(passage)})
        with self._path.open("ab") as file:
            # The file's own size counts: phases and separate verifiers of a trial write to the same one.
            if file.tell() >= self._limit:
                return
            file.write(line.encode() + b"\n")
            if file.tell() >= self._limit:
                file.write(json.dumps({"time": time, "verdict": "cut", "reason": "the log is full"}).encode() + b"\n")

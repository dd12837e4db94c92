"""What the records of a session tell beside the conversation: who, where, when, with which tools."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from runs.agents.claude_code.content import told
from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import dig, mappings, text_of, timestamp_of

MAX_NAMES: Final = 50


@dataclass(slots=True)
class LogFacts:
    """Facts of one log file. `requested_at` has the time of each request to the API by the request's own id."""

    session_id: str | None = None
    version: str | None = None
    first_at: str | None = None
    last_at: str | None = None
    working_directories: dict[str, None] = field(default_factory=dict)
    git_branches: dict[str, None] = field(default_factory=dict)
    tools: dict[str, dict[str, Any]] = field(default_factory=dict)
    requested_at: dict[str, str] = field(default_factory=dict)
    n_requests: int = 0

    def note(self, record: Record) -> None:
        """Take what a record of any kind tells."""
        at = timestamp_of(record.get("timestamp"))
        self.first_at = self.first_at or at
        self.last_at = at or self.last_at
        self.session_id = self.session_id or text_of(told(record, "sessionId", "session_id")) or None
        self.version = text_of(record.get("version")) or self.version
        for name, known in (("cwd", self.working_directories), ("gitBranch", self.git_branches)):
            if text_of(record.get(name)) and len(known) < MAX_NAMES:
                known[record[name]] = None
        if record.get("type") == "api-request":
            self.n_requests += 1
            if at:
                self.requested_at[text_of(record.get("id"))] = at
        elif record.get("type") == "api-request-shape":
            for tool in mappings(dig(record, "shape", "tools")):
                self.tools[text_of(tool.get("name"))] = dict(tool)

    def since_request_ms(self, record: Record) -> float | None:
        """From the request to the API until this record of its answer, by the CLI's own clock."""
        asked, at = self.requested_at.get(text_of(record.get("requestRef"))), timestamp_of(record.get("timestamp"))
        if not asked or not at:
            return None
        try:
            passed = (datetime.fromisoformat(at) - datetime.fromisoformat(asked)).total_seconds() * 1000
        except TypeError:  # one of them names no zone
            return None
        return round(passed, 3) if passed >= 0 else None

"""What the containers beside the agent's wrote, in a task of several: `services/<name>.log` of the trial directory."""

from dataclasses import dataclass

from runs.models import Trial
from viewer.files import Entry, TextFile, list_files, read_text

FOLDER = "services"
# A separate verifier has a folder of its name in it, with services of its own.
DEPTH = 3
MAX_LOGS = 100
# So many are shown, of each the beginning and the end; the others are links.
MAX_SHOWN = 8
HEAD_BYTES = 4 * 1024
TAIL_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class ServiceLog:
    """One log. `file` is None where only a link is shown."""

    service: str
    entry: Entry
    file: TextFile | None


def service_logs(trial: Trial) -> list[ServiceLog]:
    """The logs by their path."""
    entries = [entry for entry in list_files(trial, FOLDER, depth=DEPTH) if entry.path.endswith(".log")][:MAX_LOGS]
    return [_log(trial, entry, is_shown=position < MAX_SHOWN) for position, entry in enumerate(entries)]


def _log(trial: Trial, entry: Entry, *, is_shown: bool) -> ServiceLog:
    service = entry.path.removeprefix(f"{FOLDER}/").removesuffix(".log")
    is_read = is_shown and entry.size_bytes and entry.can_be_named
    return ServiceLog(
        service, entry, read_text(trial, entry.path, head=HEAD_BYTES, tail=TAIL_BYTES) if is_read else None
    )

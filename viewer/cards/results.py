"""What is told of a call's result beside its text: exit code, duration, failure; and the text without that header."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runs.indexing.payload import CallPayload, StepPayload

_MOST = 4_000  # characters at each end in which a header or a footer is looked for
# What tools put round what a program printed, for the model: the card has it in its first line.
_WRAPPERS: tuple[tuple[re.Pattern[str] | None, re.Pattern[str] | None], ...] = (
    # Codex
    (
        re.compile(
            r"\A(?:Chunk ID: .*\n|Exit code: (?P<exit>-?\d{1,10})\n)?Wall time: (?P<sec>[\d.]{1,20}) seconds?\n"
            r"(?:Process exited with code (?P<code>-?\d{1,10})\n|Process running with session ID (?P<session>\S+)\n)?"
            r"(?:Original token count: \d+\n)?(?:Total output lines: \d+\n)?Output:\n"
        ),
        None,
    ),
    # Claude Code
    (re.compile(r"\AExit code (?P<exit>\d{1,3})(?:\n|\Z)"), None),
    # Gemini CLI
    (re.compile(r"\A<untrusted_context>\n"), re.compile(r"\n?</untrusted_context>\s*\Z")),
    # mini-swe-agent before its version 2
    (
        re.compile(r"\A<returncode>(?P<exit>-?\d{1,10})</returncode>\n(?:<output>\n?)?"),
        re.compile(r"\n?</output>\s*\Z"),
    ),
    # Copilot CLI
    (None, re.compile(r"\n?<shellId: \S+ completed with exit code (?P<exit>-?\d{1,10})>\s*\Z")),
    # OpenHands
    (None, re.compile(r"\n?\[The command completed with exit code (?P<exit>-?\d{1,10})\.\](?:\n\[[^\n]*\])*\s*\Z")),
    (None, re.compile(r"\n?\[Command finished with exit code (?P<exit>-?\d{1,10})\]\s*\Z")),
)
_GEMINI = re.compile(r"\AOutput: (?P<text>.*?)(?:\nExit Code: (?P<exit>-?\d{1,10}))?\nProcess Group PGID: \d+\Z", re.S)


@dataclass(frozen=True, slots=True)
class Result:
    """A call's result: its text, and what its writer or its header says about it. `text` is None where nothing came."""

    text: str | None
    exit_code: int | None = None
    duration_sec: float | None = None
    is_error: bool = False
    is_running: bool = False
    is_interrupted: bool = False
    full_output: str = ""
    namespace: str = ""


def results_of(payload: StepPayload) -> list[Result]:
    """The results of the step's calls, in their order."""
    told = _told_by_id(payload.raw)
    raw_calls = payload.raw.get("tool_calls")
    raw_calls = raw_calls if isinstance(raw_calls, list) and len(raw_calls) == len(payload.calls) else []
    found: list[Result] = []
    for position, call in enumerate(payload.calls):
        extra = told.get(call.id or "") or (told.get("") if len(payload.calls) == 1 else None) or {}
        namespace = _object(_object(raw_calls[position] if raw_calls else None).get("extra")).get("namespace")
        found.append(result_of(call, extra, namespace if isinstance(namespace, str) else ""))
    return found


def result_of(call: CallPayload, extra: Mapping[str, Any], namespace: str = "") -> Result:
    """One result: `extra` of the file's result, then what its text itself says."""
    text, exit_code, duration_sec, is_running = call.result, None, None, False
    if text:
        text, said = _unwrapped(text)
        exit_code = _integer(said.get("exit") or said.get("code"))
        duration_sec = _seconds(said.get("sec"))
        is_running = bool(said.get("session"))
    told_code = extra.get("exit_code", extra.get("exitCode"))
    if isinstance(told_code, int) and not isinstance(told_code, bool):
        exit_code, is_running = told_code, False
    told_sec = _seconds(extra.get("duration_sec"))
    return Result(
        text=text,
        exit_code=exit_code,
        duration_sec=duration_sec if told_sec is None else told_sec,
        is_error=bool(call.is_error) or bool(exit_code),
        is_running=is_running,
        is_interrupted=extra.get("interrupted") is True or extra.get("status") in ("cancelled", "CANCELED"),
        full_output=value if isinstance(value := extra.get("full_output"), str) else "",
        namespace=namespace,
    )


def _told_by_id(raw: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """`extra` of each result by the call it names; of the only nameless one under an empty name."""
    results = _object(raw.get("observation")).get("results")
    found: dict[str, Mapping[str, Any]] = {}
    for result in results if isinstance(results, list) else []:
        extra = _object(_object(result).get("extra"))
        name = _object(result).get("source_call_id")
        if extra:
            key = name if isinstance(name, str) else ""
            found[key] = {**found.get(key, {}), **extra}
    return found


def _unwrapped(text: str) -> tuple[str, dict[str, str | None]]:
    """The text without what a tool put round it, and what that said. Only the ends are looked at."""
    said: dict[str, str | None] = {}
    for header, footer in _WRAPPERS:
        opened = header.match(text[:_MOST]) if header else None
        closed = footer.search(text, max(0, len(text) - _MOST)) if footer and (opened or not header) else None
        if not opened and not closed:
            continue
        for found in (opened, closed):
            said |= found.groupdict() if found else {}
        text = text[opened.end() if opened else 0 : closed.start() if closed else len(text)]
        break
    if text.startswith("Output: ") and (found := _GEMINI.match(text)):
        said |= {"exit": found["exit"]}
        text = found["text"]
    return text, said


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _integer(text: str | None) -> int | None:
    return int(text) if text else None


def _seconds(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < 10**9 else None

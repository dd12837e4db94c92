"""Cursor CLI's tool calls: each kind has a key of its own in `tool_call`, with the arguments and later the result."""

from typing import Any, Final

from runs.agents.conversion.draft import CallDraft, ResultDraft
from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import amount, arguments_of, as_text, mapping, text_of, texts_of

_SUFFIX: Final = "ToolCall"
# What a result is filed under when the tool did what it was asked to.
_GOOD: Final = frozenset({"success", "started", "isBackground"})


def kind_of(tool_call: Record) -> tuple[str, Record]:
    """The tool's name and what the log says of the call: `readToolCall` is `read`, `function` names its own."""
    for key, value in tool_call.items():
        if key.endswith(_SUFFIX) and isinstance(value, dict):
            return key.removesuffix(_SUFFIX), value
    function = mapping(tool_call.get("function"))
    return text_of(function.get("name")), function


def call_of(identity: str, name: str, told: Record) -> CallDraft:
    """The call; the CLI's own copy of its identity is no argument."""
    given = told.get("args") if "args" in told else told.get("arguments")
    arguments = {key: value for key, value in arguments_of(given).items() if key != "toolCallId"}
    return CallDraft(identity, name, arguments)


def result_of(told: Record) -> ResultDraft | None:
    """What came back; None while nothing did."""
    result = told.get("result")
    if result is None:
        return None
    if not isinstance(result, dict):
        return ResultDraft(as_text(result))
    outcome = next((key for key in result if isinstance(result[key], dict)), next(iter(result), ""))
    payload = mapping(result.get(outcome))
    extra: dict[str, Any] = {}
    exit_code = payload.get("exitCode")
    if isinstance(exit_code, int) and not isinstance(exit_code, bool):
        extra["exit_code"] = exit_code
    milliseconds = amount(payload.get("executionTime"))
    if milliseconds is not None:
        extra["duration_sec"] = round(milliseconds / 1000, 3)
    if outcome not in _GOOD:
        extra |= {"is_error": True, "outcome": outcome[:100]}
    return ResultDraft(_content(result.get(outcome), payload), extra)


def _content(whole: object, payload: Record) -> str:
    """The text in the result where it has one; all of it as JSON else."""
    both = texts_of(payload.get("interleavedOutput")) or texts_of(payload.get("stdout"), payload.get("stderr"))
    if both or "stdout" in payload:
        return "\n".join(text.rstrip("\n") for text in both)
    for key in ("content", "errorMessage", "error", "reason", "message"):
        if isinstance(payload.get(key), str):
            return text_of(payload[key])
    return "" if whole is None else as_text(whole)

"""What a step's `extra` tells a reader: compactions, failed API calls, turns that never ended, searches elsewhere."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runs.models import Step
from viewer.cards.model import Block, Fact, Limits, output_block
from viewer.templatetags.pier import count

MAX_ERRORS = 12
# What writers call the failed attempts before an answer.
_API_ERRORS = ("api_errors", "api_retries")
_EXIT_STATUSES = frozenset({"", "Submitted", "submitted"})
# Ways of saying that no person and no model wrote a message.
_HARNESS = ("is_meta", "synthetic", "interrupt_type")


@dataclass(frozen=True, slots=True)
class Remark:
    """A line above what the step says, with details under it where there are some."""

    tone: str
    text: str
    body: Block | None = None


def kind_of(step: Step, extra: Mapping[str, Any]) -> str:
    """The kind of step: compaction, error, harness (the agent program speaks), else who speaks."""
    if _context(extra):
        return "compaction"
    if extra.get("is_error") is True or extra.get("api_error") or extra.get("error"):
        return "error"
    if _exit_status(extra) and step.source == Step.Source.SYSTEM:
        return "error"
    if step.source != Step.Source.AGENT and (any(extra.get(key) for key in _HARNESS) or extra.get("origin")):
        return "harness"
    return str(step.source)


def badges_of(extra: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Short words beside the speaker."""
    found: list[Fact] = []
    if extra.get("server_web_search"):
        # The provider's own search passes by the sandbox's network rules.
        found.append(Fact("searched the web through the model's provider", "warn"))
    if extra.get("unfinished") is True:
        found.append(Fact("unfinished", "warn"))
    if extra.get("rewound"):
        found.append(Fact("rewound: the agent went back to before this step", "warn"))
    if extra.get("redacted_thinking") or extra.get("encrypted_reasoning"):
        found.append(Fact("reasoning is encrypted"))
    for key in ("origin", "interrupt_type"):
        value = extra.get(key)
        if isinstance(value, str) and value:
            found.append(Fact(value[:60]))
    return tuple(found)


def remarks_of(extra: Mapping[str, Any], limits: Limits) -> tuple[Remark, ...]:
    """Lines above what the step says."""
    found: list[Remark] = []
    if context := _context(extra):
        found.append(Remark("info", _compaction(context)))
    if status := _exit_status(extra):
        found.append(Remark("bad", f"The agent ended with {status}"))
    api_error = extra.get("api_error")
    if isinstance(api_error, dict):
        said = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in list(api_error.items())[:6])
        found.append(Remark("bad", f"Model API: {said}"[:300]))
    for key in _API_ERRORS:
        errors = extra.get(key)
        if isinstance(errors, list) and errors:
            found.append(_failed_calls(errors, limits))
    told = [value for key in ("error", "codex_error_info") if (value := extra.get(key))]
    found += [Remark("bad", _text(value)[:500]) for value in told]
    answers = extra.get("interrupted_answers")
    if isinstance(answers, list) and answers:
        label = f"{len(answers)} interrupted answer{'s' if len(answers) > 1 else ''} before this one"
        body = output_block("\n\n".join(_text(answer) for answer in answers[:MAX_ERRORS]), limits)
        found.append(Remark("warn", label, body))
    return tuple(found)


def _failed_calls(errors: list[Any], limits: Limits) -> Remark:
    n_more = len(errors) - MAX_ERRORS
    lines = [_text(error) for error in errors[:MAX_ERRORS]] + ([f"… and {n_more} more"] if n_more > 0 else [])
    body = output_block("\n".join(lines), limits)
    return Remark("bad", f"{len(errors)} failed call{'s' if len(errors) > 1 else ''} of the model API", body)


def _context(extra: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What became of the context here, where something did."""
    context = extra.get("context_management")
    return context if isinstance(context, dict) and isinstance(context.get("type"), str) else None


def _compaction(context: Mapping[str, Any]) -> str:
    kind = str(context["type"])[:40]
    before, after = (_number(context.get(key)) for key in ("tokens_before", "tokens_after"))
    size = f" from {count(before)}" if before is not None else ""
    size += f" to {count(after)} tokens" if after is not None else " tokens" if before is not None else ""
    trigger = context.get("trigger")
    why = f" ({trigger[:40]})" if isinstance(trigger, str) and trigger else ""
    return f"{kind.capitalize()} of the context{size}{why}"


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**12 else None


def _exit_status(extra: Mapping[str, Any]) -> str:
    status = extra.get("exit_status")
    return status[:60] if isinstance(status, str) and status not in _EXIT_STATUSES else ""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)

"""Steps that Copilot CLI makes beside the turns: its context made smaller, its requests failed for good."""

from typing import Any, Final

from runs.agents.conversion.draft import StepDraft
from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import count, mapping, text_of, texts_of
from runs.agents.copilot_cli.events import usage_of

MAX_REQUESTS: Final = 1000


def compaction_step(data: Record, at: str | None, model: str | None) -> StepDraft:
    """`session.compaction_complete`: the model's summary, with the tokens that it took.

    One event may stand for several calls: their tokens are summed in it, their texts are lost but for the last.
    """
    told = mapping(data.get("compactionTokensUsed"))
    draft = StepDraft("agent", at, model_name=text_of(told.get("model")) or text_of(data.get("model")) or model)
    draft.llm_call_count = min(count(told.get("requestCount")) or 1, MAX_REQUESTS)
    draft.usage = usage_of(told) if told else None
    if data.get("success") is False:
        draft.source = "agent" if told else "system"
        draft.texts = texts_of(data.get("error"))
        draft.extra["is_error"] = True
        return draft
    draft.texts = texts_of(data.get("summaryContent"))
    draft.mark_compaction(
        trigger=text_of(data.get("trigger")) or None,
        tokens_before=count(data.get("preCompactionTokens")),
        tokens_after=count(data.get("postCompactionTokens")),
    )
    return draft


def truncation_step(data: Record, at: str | None) -> StepDraft:
    """`session.truncation`: messages were dropped, without a summary."""
    names = {
        "tokens_before": "preTruncationTokensInMessages",
        "tokens_after": "postTruncationTokensInMessages",
        "messages_removed": "messagesRemovedDuringTruncation",
    }
    figures = {ours: figure for ours, theirs in names.items() if (figure := count(data.get(theirs))) is not None}
    return StepDraft("system", at, extra={"context_management": {"type": "truncation", **figures}})


def error_step(data: Record, at: str | None) -> StepDraft:
    """`session.error`, in its words."""
    extra: dict[str, Any] = {"is_error": True}
    extra |= {"error_type": kind[:100]} if (kind := text_of(data.get("errorType"))) else {}
    extra |= {"status_code": status} if (status := count(data.get("statusCode"))) else {}
    return StepDraft("system", at, texts=texts_of(data.get("message")), extra=extra)

"""Steps that Claude Code itself writes: refused requests, its words in the model's name, replaced contexts."""

from collections.abc import Mapping
from typing import Any, Final

from runs.agents.claude_code.content import texts_and_parts, told
from runs.agents.conversion.draft import StepDraft
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import amount, count, dig, mapping, text_of, timestamp_of

# The model's name of messages that no model wrote.
SYNTHETIC: Final = "<synthetic>"


def is_own_message(message: Mapping[str, Any], record: Record) -> bool:
    """Whether an assistant record holds the CLI's words and not the model's."""
    return message.get("model") == SYNTHETIC or is_api_error(record)


def is_api_error(record: Record) -> bool:
    """Whether a record tells that the API refused for good."""
    return told(record, "isApiErrorMessage", "is_api_error_message") is True


def own_message(message: Mapping[str, Any], record: Record, images: ImageStore) -> StepDraft:
    """What the CLI says in the model's place."""
    texts, _ = texts_and_parts(message.get("content"), images)
    extra: dict[str, Any] = {"synthetic": True}
    if is_api_error(record):
        extra["api_error"] = _known(
            status=told(record, "apiErrorStatus", "api_error_status"),
            type=told(record, "apiErrorType", "api_error_type"),
            error=record.get("error"),
            details=told(record, "errorDetails", "error_details"),
        )
    return StepDraft("system", timestamp_of(record.get("timestamp")), texts=texts, extra=extra)


def refused_request(record: Record) -> StepDraft:
    """A request that failed and is made again."""
    error = record.get("error")
    words = text_of(dig(error, "formatted")) or text_of(dig(error, "message")) or text_of(error)
    extra = {
        "api_error": _known(
            status=dig(error, "status") if isinstance(error, dict) else record.get("error_status"),
            attempt=told(record, "retryAttempt", "attempt"),
            max_retries=told(record, "maxRetries", "max_retries"),
            retry_in_ms=told(record, "retryInMs", "retry_delay_ms"),
        )
    }
    return StepDraft("system", timestamp_of(record.get("timestamp")), texts=[words] if words else [], extra=extra)


def compaction(record: Record) -> StepDraft:
    """The context is replaced by a summary, which follows; the call that wrote it is nowhere in the log."""
    figures = mapping(told(record, "compactMetadata", "compact_metadata"))
    words = text_of(record.get("content"))
    draft = StepDraft("system", timestamp_of(record.get("timestamp")), texts=[words] if words else [])
    draft.mark_compaction(
        trigger=text_of(figures.get("trigger")) or None,
        tokens_before=count(told(figures, "preTokens", "pre_tokens")),
        tokens_after=count(told(figures, "postTokens", "post_tokens")),
        duration_ms=amount(told(figures, "durationMs", "duration_ms")),
    )
    return draft


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}

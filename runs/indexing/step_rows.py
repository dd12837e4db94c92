"""One read step to one unsaved Step row: the columns that outlines, lists and filters need, and the payload."""

from runs.formats.trajectory_reader import ReadStep, ReadToolCall
from runs.indexing.cleaning import clip
from runs.indexing.payload import pack
from runs.models import Step

MAX_SUMMARY_CHARS = 200
MAX_TOOL_NAMES_CHARS = 500
MAX_SMALL_INTEGER = 2**15 - 1
MAX_POSITIVE_INTEGER = 2**31 - 1


def step_row(step: ReadStep) -> Step:
    """The row of a step, without its trajectory and trial; the payload is compressed here (about 20 µs for 3 KB)."""
    return Step(
        index=step.index,
        step_id=min(step.step_id if step.step_id is not None else step.index + 1, MAX_POSITIVE_INTEGER),
        source=step.source,
        at=step.at,
        model_name=clip(step.model_name, 255) if step.model_name else "",
        summary=summary_of(step),
        tool_names=_tool_names(step.tool_calls),
        n_tool_calls=min(len(step.tool_calls), MAX_SMALL_INTEGER),
        has_error=any(call.is_error for call in step.tool_calls),
        is_copied_context=step.is_copied_context,
        prompt_tokens=step.prompt_tokens,
        completion_tokens=step.completion_tokens,
        cached_tokens=step.cached_tokens,
        cost_usd=step.cost_usd,
        payload=pack(step),
    )


def summary_of(step: ReadStep) -> str:
    """One line: the first words of the message, else the first call, else of the reasoning or of what came back."""
    line = _one_line(step.message)
    if not line and step.tool_calls:
        line = _call_line(step.tool_calls[0])
    texts = (step.reasoning or "", *(seen.text for seen in step.observations[:1]))
    return line or next((found for text in texts if (found := _one_line(text))), "")


def _call_line(call: ReadToolCall) -> str:
    """The tool's name with its first argument that is text: usually the command or the path."""
    if call.arguments_text is not None:
        return _one_line(f"{call.name} {call.arguments_text[: 4 * MAX_SUMMARY_CHARS]}")
    argument = next((value for value in call.arguments.values() if isinstance(value, str) and value.strip()), "")
    return _one_line(f"{call.name} {argument[: 4 * MAX_SUMMARY_CHARS]}")


def _one_line(text: str) -> str:
    return clip(" ".join(text[: 4 * MAX_SUMMARY_CHARS].split()), MAX_SUMMARY_CHARS)


def _tool_names(calls: list[ReadToolCall]) -> str:
    """Different names in the order of their first call; a name is one word, and none is cut in two."""
    names: dict[str, None] = {}
    n_chars = 0
    for call in calls:
        name = clip("_".join(call.name.split()), MAX_TOOL_NAMES_CHARS)
        if name and name not in names:
            n_chars += len(name) + 1
            if n_chars > MAX_TOOL_NAMES_CHARS + 1:
                break
            names[name] = None
    return " ".join(names)

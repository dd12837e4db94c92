"""A step as one compressed frame: the normalised form that pages draw, and beside it the step as its file had it.

The only writer and reader of `Step.payload`. Not a place for what is filtered or sorted by: that is in columns.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import zstandard

from runs.formats.reading import JsonInvalid, parse_json
from runs.formats.trajectory_reader import ReadStep, ReadSubagentRef, ReadToolCall
from runs.indexing.cleaning import clean_text
from runs.indexing.values import Json, mappings

LEVEL = 3
# A step whose JSON is larger has its long texts cut, so that no page ever has to hold more.
MAX_STEP_BYTES = 4 * 1024 * 1024
# What a payload may unpack to: the normalised and the raw step, each within the limit, with room for JSON's escapes.
MAX_UNPACKED_BYTES = 4 * MAX_STEP_BYTES
# A file may be 200 levels deep, and so may arguments that were JSON text in it; the frame adds a few.
MAX_DEPTH = 250
LONGEST_KEPT_CHARS = (256 * 1024, 32 * 1024, 4 * 1024, 512)
DAMAGED = "This step cannot be shown: its stored form is damaged. Index the job again to restore it from its files."


@dataclass(frozen=True, slots=True)
class CallPayload:
    """A tool call and what came back. `arguments` is text where the writer gave no object."""

    id: str | None
    name: str
    arguments: dict[str, Any] | str
    result: str | None = None
    images: list[str] = field(default_factory=list)
    audio: list[str] = field(default_factory=list)
    is_error: bool | None = None
    subagent_ids: list[str] = field(default_factory=list)
    subagent_paths: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StepPayload:
    """A step as pages draw it. `observations` came back for no call; `answers` are earlier calls that it answered.

    Paths of images, audio and sub-agents are as the file has them (relative to it, absolute, URLs): not to be trusted.
    """

    message: str
    images: list[str] = field(default_factory=list)
    audio: list[str] = field(default_factory=list)
    reasoning: str = ""
    calls: list[CallPayload] = field(default_factory=list)
    observations: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    subagent_ids: list[str] = field(default_factory=list)
    subagent_paths: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    is_damaged: bool = False


class _Compressor(threading.local):
    """One compressor a thread: making one costs as much as compressing a step, and none may be shared."""

    def __init__(self) -> None:
        self.compress: Callable[[bytes], bytes] = zstandard.ZstdCompressor(level=LEVEL).compress


_compressor = _Compressor()


def pack(step: ReadStep) -> bytes:
    """The payload of a step: a zstd frame, decompressed no larger than `MAX_UNPACKED_BYTES`."""
    return _compressor.compress(_within_limits(_normalised(step)))


def unpack(payload: bytes | memoryview) -> StepPayload:
    """The step in a payload. Never raises: a damaged payload gives a step that says so, with `is_damaged`."""
    try:
        size = zstandard.frame_content_size(payload)
        if not 0 <= size <= MAX_UNPACKED_BYTES:
            return StepPayload(DAMAGED, is_damaged=True)
        data = zstandard.ZstdDecompressor().decompress(payload, max_output_size=MAX_UNPACKED_BYTES)
        return _step_of(parse_json(data.decode(), max_depth=MAX_DEPTH, lenient=True))
    except (zstandard.ZstdError, JsonInvalid, ValueError, TypeError, KeyError):
        return StepPayload(DAMAGED, is_damaged=True)


def _normalised(step: ReadStep) -> Json:
    observed = step.observations
    return {
        "message": step.message,
        "images": [*step.images, *(image for seen in observed for image in seen.images)],
        "audio": [*step.audio, *(audio for seen in observed for audio in seen.audio)],
        "reasoning": step.reasoning or "",
        "calls": [_call(call) for call in step.tool_calls],
        "observations": [seen.text for seen in observed],
        "answers": step.answers,
        **_refs([ref for seen in observed for ref in seen.subagents]),
        "raw": step.raw,
    }


def _call(call: ReadToolCall) -> Json:
    return {
        "id": call.id,
        "name": call.name,
        "arguments": call.arguments if call.arguments_text is None else call.arguments_text,
        "result": call.result,
        "images": call.images,
        "audio": call.audio,
        "is_error": call.is_error,
        **_refs(call.subagents),
    }


def _refs(refs: list[ReadSubagentRef]) -> Json:
    return {
        "subagent_ids": [ref.trajectory_id for ref in refs if ref.trajectory_id],
        "subagent_paths": [ref.trajectory_path for ref in refs if ref.trajectory_path],
    }


def _within_limits(step: Json) -> bytes:
    """The step as JSON; one that is too large has its long texts cut more and more, then loses its raw form."""
    data = _dump(step)
    for longest in LONGEST_KEPT_CHARS:
        if len(data) <= MAX_STEP_BYTES:
            return data
        data = _dump(_shortened(step, longest))
    if len(data) <= MAX_STEP_BYTES:
        return data
    data = _dump(_shortened({**step, "raw": {}}, LONGEST_KEPT_CHARS[-1]))
    if len(data) <= MAX_STEP_BYTES:
        return data
    return _dump(asdict(StepPayload(f"[this step has {len(data):,} bytes of small parts and is left out here]")))


def _dump(step: Json) -> bytes:
    return json.dumps(step, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _shortened(value: Any, longest: int) -> Any:
    """A copy of a JSON value in which every text of more than `longest` characters keeps its head and tail only."""
    if isinstance(value, str):
        return value if len(value) <= longest else head_and_tail(value, longest)
    if isinstance(value, dict):
        return {key[:longest]: _shortened(item, longest) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item, longest) for item in value]
    return value


def head_and_tail(text: str, longest: int) -> str:
    """The first and last characters of `text`, about `longest` together, around a mark that says how many were cut."""
    half = longest // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters cut …]\n{text[-half:]}"


def _step_of(data: Any) -> StepPayload:
    if not isinstance(data, dict):
        raise TypeError("a payload is an object")
    return StepPayload(
        message=_text(data["message"]),
        images=_texts(data.get("images")),
        audio=_texts(data.get("audio")),
        reasoning=_text(data.get("reasoning")),
        calls=[_call_of(call) for call in mappings(data.get("calls"))],
        observations=_texts(data.get("observations")),
        answers=_texts(data.get("answers")),
        subagent_ids=_texts(data.get("subagent_ids")),
        subagent_paths=_texts(data.get("subagent_paths")),
        raw=data["raw"] if isinstance(data.get("raw"), dict) else {},
    )


def _call_of(data: Json) -> CallPayload:
    identifier, arguments, result, is_error = (data.get(key) for key in ("id", "arguments", "result", "is_error"))
    return CallPayload(
        id=identifier if isinstance(identifier, str) else None,
        name=_text(data.get("name")),
        arguments=arguments if isinstance(arguments, dict | str) else {},
        result=result if isinstance(result, str) else None,
        images=_texts(data.get("images")),
        audio=_texts(data.get("audio")),
        is_error=is_error if isinstance(is_error, bool) else None,
        subagent_ids=_texts(data.get("subagent_ids")),
        subagent_paths=_texts(data.get("subagent_paths")),
    )


def _text(value: object) -> str:
    return clean_text(value) if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [clean_text(item) for item in value if isinstance(item, str)] if isinstance(value, list) else []

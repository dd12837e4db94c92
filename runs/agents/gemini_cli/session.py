"""One session file of Gemini CLI: messages that are written again as they grow, and patches between them."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from runs.agents.conversion.draft import CallDraft, ResultDraft, StepDraft, Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Usage
from runs.agents.conversion.values import (
    arguments_of,
    as_text,
    count,
    dig,
    mapping,
    mappings,
    text_of,
    texts_of,
    timestamp_of,
)
from runs.formats.trajectory import ContentPart, Source

# What the CLI says as the user before the instruction.
SESSION_CONTEXT: Final = "<session_context>"
# A compaction puts a message with this in the place of older ones.
SNAPSHOT: Final = "<state_snapshot>"
# Tools that have Google's servers search or fetch.
WEB_TOOLS: Final = ("google_web_search", "web_fetch")
# The CLI ends a shell's output with these lines; an exit code of 0 it leaves out.
_EXIT_CODE: Final = re.compile(
    r"(?:^|\n)Exit Code: (-?\d{1,9})(?:\n(?:Signal|Background PIDs|Process Group PGID): [^\n]*)*"
    r"(?:\n</untrusted_context>)?\s*\Z"
)


@dataclass(slots=True)
class Session:
    """The steps of one session file. A message that comes again replaces what it said before, in its place."""

    thread: Thread
    images: ImageStore
    reasoning_effort: str | None = None
    session_id: str | None = None
    started_at: str | None = None
    calls: list[StepDraft] = field(default_factory=list)
    """The steps that are calls of the model, in order."""
    recorded: set[str] = field(default_factory=set)
    """The ids of the calls that the file has."""
    _by_id: dict[str, StepDraft] = field(default_factory=dict)
    _passed_over: set[str] = field(default_factory=set)

    def take(self, record: Record) -> None:
        """Take a line of the file."""
        patch = record.get("$set")
        rewound = record.get("$rewindTo")
        if isinstance(rewound, str):
            self._rewind(rewound)
        elif isinstance(patch, dict):
            self._replace_history(list(mappings(patch.get("messages"))))
        elif isinstance(record.get("id"), str):
            self._message(record)
        elif isinstance(record.get("sessionId"), str):
            self.take_header(record)

    def take_header(self, record: Record) -> None:
        """Take what the file says of the session."""
        self.session_id = text_of(record.get("sessionId")) or None
        self.started_at = timestamp_of(record.get("startTime"))

    @property
    def has_user_step(self) -> bool:
        """Whether what the user asked is among the steps."""
        return any(step.source == "user" for step in self.thread.steps)

    def _replace_history(self, messages: list[Record]) -> None:
        """Take a new history, which the CLI sets at its start, after masking long outputs, and by a compaction.

        Messages that are known stay as they were when they happened. With a compaction's summary come copies of
        messages under new ids: they happened before.
        """
        new = [message for message in messages if not self._is_known(message)]
        if any(SNAPSHOT in _text_of_content(message.get("content")) for message in messages):
            for message in new:
                if SNAPSHOT in _text_of_content(message.get("content")):
                    self._message(message)
                else:
                    self._passed_over.add(text_of(message.get("id")))
            return
        for message in new:
            self._message(message)

    def _is_known(self, message: Record) -> bool:
        identity = text_of(message.get("id"))
        return identity in self._by_id or identity in self._passed_over

    def _rewind(self, message_id: str) -> None:
        """The CLI forgets this message and all after it; they happened, so they stay and say so."""
        steps = self.thread.steps
        first = self._by_id.get(message_id)
        begin = next((position for position, step in enumerate(steps) if step is first), 0)
        for step in steps[begin:]:
            step.extra["rewound"] = True
            self.thread.touch(step)

    def _message(self, message: Record) -> None:
        identity = text_of(message.get("id"))
        kind = message.get("type")
        if identity in self._passed_over:
            return
        if kind == "gemini":
            self._answer_of_model(identity, message)
        elif kind == "user":
            self._said_to_model(identity, message)
        elif kind in ("info", "warning", "error"):
            self._notice(identity, message)

    def _step(self, identity: str, fresh: StepDraft) -> StepDraft:
        """The step of this message: a new one, or the known one, whose texts are replaced."""
        known = self._by_id.get(identity)
        if known is None:
            self._by_id[identity] = fresh
            return self.thread.add(fresh)
        known.texts, known.parts, known.reasonings = fresh.texts, fresh.parts, fresh.reasonings
        known.usage, known.is_unfinished = fresh.usage, fresh.is_unfinished
        self.thread.touch(known)
        return known

    def _said_to_model(self, identity: str, message: Record) -> None:
        content = message.get("content")
        responses = [part for part in mappings(content) if isinstance(part.get("functionResponse"), dict)]
        text, images = _text_of_content(content), self._images(content)
        for part in responses:
            self._late_result(part, images if not text else [])
        if responses and not text:
            return
        source: Source = "system" if text.startswith(SESSION_CONTEXT) or SNAPSHOT in text else "user"
        draft = StepDraft(source, timestamp_of(message.get("timestamp")), texts_of(text), images)
        step = self._step(identity, draft)
        if SNAPSHOT in text:
            step.mark_compaction()

    def _late_result(self, part: Record, images: list[ContentPart]) -> None:
        """Results come with the calls and are repeated here; what had none there is answered by this."""
        response = mapping(part.get("functionResponse"))
        call = self.thread.call(text_of(response.get("id")))
        if call is not None and not call.results:
            self.thread.answer(call.id, ResultDraft(_content(_output(response), images)))

    def _notice(self, identity: str, message: Record) -> None:
        content = message.get("content")
        text, images = _text_of_content(content), self._images(content)
        if text or images:
            at = timestamp_of(message.get("timestamp"))
            self._step(identity, StepDraft("system", at, texts_of(text), images))

    def _answer_of_model(self, identity: str, message: Record) -> None:
        tokens = message.get("tokens")
        calls = list(mappings(message.get("toolCalls")))
        if identity not in self._by_id and not (message.get("model") or isinstance(tokens, dict) or calls):
            # What the CLI itself says in the model's name, to keep the turns alternating.
            self._passed_over.add(identity)
            return
        usage, is_cut = _usage(mapping(tokens), has_calls=bool(calls))
        content = message.get("content")
        draft = StepDraft(
            "agent",
            timestamp=timestamp_of(message.get("timestamp")),
            texts=texts_of(_text_of_content(content)),
            parts=self._images(content),
            reasonings=[_reasoning(thought) for thought in mappings(message.get("thoughts"))],
            usage=usage,
            model_name=text_of(message.get("model")) or None,
            reasoning_effort=self.reasoning_effort,
            llm_call_count=1,
            is_unfinished=is_cut,
        )
        is_new = identity not in self._by_id
        step = self._step(identity, draft)
        if is_new:
            self.calls.append(step)
        for call in calls:
            self._call(step, call)

    def _call(self, step: StepDraft, call: Record) -> None:
        identity = text_of(call.get("id"))
        name = text_of(call.get("name"))
        if not identity:
            return
        draft = CallDraft(identity, name or "unknown", arguments_of(call.get("args")))
        agent_id = text_of(call.get("agentId"))
        if agent_id:
            draft.extra["agent_id"] = agent_id
        self.thread.add_call(step, draft)
        if identity not in self.recorded:
            self.recorded.add(identity)
            draft.results = []
        if name in WEB_TOOLS:
            step.extra["server_web_search"] = True
        result = self._result(identity, name, call)
        if result is not None:
            self.thread.answer(identity, result, replace=True)

    def _result(self, identity: str, name: str, call: Record) -> ResultDraft | None:
        parts = [{"text": part} if isinstance(part, str) else part for part in _parts(call.get("result"))]
        responses = [(part, mapping(part.get("functionResponse"))) for part in parts]
        # After a change of the history the results of all calls of the turn stand here.
        own = [part for part, response in responses if not response or response.get("id") in (identity, None)]
        texts = (_output(mapping(part.get("functionResponse"))) or text_of(part.get("text")) for part in own)
        text = "\n\n".join(texts_of(*texts))
        status = text_of(call.get("status"))
        if not own and status not in ("error", "cancelled"):
            return None
        extra: dict[str, Any] = {}
        if status and status != "success":
            extra |= {"status": status, "is_error": True}
        if name == "run_shell_command" and (found := _EXIT_CODE.search(text)):
            extra["exit_code"] = int(found[1])
        ended_at = timestamp_of(call.get("timestamp"))
        if ended_at:
            extra["ended_at"] = ended_at
        images = [image for part in own for image in self._images([part])]
        return ResultDraft(_content(text, images), extra)

    def _images(self, content: Any) -> list[ContentPart]:
        found: list[ContentPart] = []
        for part in mappings(content):
            for holder in (part, *mappings(dig(part, "functionResponse", "parts"))):
                data = mapping(holder.get("inlineData"))
                image = self.images.part(data.get("mimeType"), data.get("data")) if data else None
                if image:
                    found.append(image)
        return found


def _parts(content: Any) -> list[Any]:
    if isinstance(content, list):
        return [part for part in content if isinstance(part, str | dict)]
    return [content] if isinstance(content, str | dict) else []


def _text_of_content(content: Any) -> str:
    """What is said in a message's content, thoughts and calls left out."""
    pieces = [
        part if isinstance(part, str) else text_of(part.get("text"))
        for part in _parts(content)
        if isinstance(part, str) or not part.get("thought")
    ]
    return "".join(pieces)


def _reasoning(thought: Record) -> str:
    """The CLI takes a thought's bold heading out of it; here it goes back."""
    subject, description = text_of(thought.get("subject")), text_of(thought.get("description"))
    return "\n\n".join(texts_of(subject and f"**{subject}**", description))


def _output(response: Record) -> str:
    """What the model was given as a call's result."""
    value = mapping(response.get("response"))
    for key in ("output", "error"):
        if key in value and len(value) == 1:
            return as_text(value[key])
    return as_text(value) if value else ""


def _content(text: str, images: list[ContentPart]) -> str | list[ContentPart]:
    if not images:
        return text
    return [*([ContentPart(type="text", text=text)] if text else []), *images]


def _usage(tokens: Record, *, has_calls: bool) -> tuple[Usage | None, bool]:
    """What the call used, and whether it was cut short.

    The API counts cached input within `input`, and thoughts beside `output`. A stream that ends too soon has told the
    input by then, and the CLI writes 0 for what it was not told.
    """
    given, cached, output, thoughts = (count(tokens.get(key)) for key in ("input", "cached", "output", "thoughts"))
    if given is None and output is None:
        return None, False
    read = min(cached or 0, given or 0)
    uncached = (given or 0) - read + (count(tokens.get("tool")) or 0)
    is_cut = not output and not thoughts and not has_calls
    if is_cut:
        return Usage(uncached_tokens=uncached, cache_read_tokens=read), True
    reasoning = thoughts or 0
    return Usage(uncached, read, None, (output or 0) + reasoning, reasoning), False

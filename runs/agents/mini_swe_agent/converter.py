"""mini-swe-agent's trajectory document into steps, and the retries that only its printed text tells."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from runs.agents.conversion.base import MAIN, ConversionContext, Converter, LogSource, instruction_step
from runs.agents.conversion.draft import StepDraft, Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.conversion.values import as_text, mapping, text_of
from runs.agents.mini_swe_agent.document import DocumentReader
from runs.agents.mini_swe_agent.messages import SUBMITTED, MessageReader

STDOUT: Final = "mini-swe-agent.txt"
DOCUMENT: Final = "mini-swe-agent.trajectory.json"
MAX_RETRIES: Final = 1000

# A line across the page is printed before each call of the model.
_RULE: Final = re.compile(r"\s*─{40,}\s*")
_RETRY: Final = re.compile(r"Retrying \S+ in [\d.]+ seconds as it raised (.+)")


class MiniSweAgentConverter(Converter):
    """The document is the truth; what is printed only adds how often a call was tried."""

    agent_name: ClassVar[str] = "mini-swe-agent"
    sources: ClassVar[tuple[LogSource, ...]] = (
        LogSource("document", (DOCUMENT,), rewritten=True),
        LogSource("stdout", (STDOUT,)),
    )

    def __init__(self, context: ConversionContext | None = None, *, images: ImageStore | None = None) -> None:
        super().__init__(context, images=images)
        self._document_reader = DocumentReader()
        self._info: Record = {}
        self._is_torn = False
        self._n_messages = 0
        self._n_rules = 0
        self._retries: defaultdict[int, list[str]] = defaultdict(list)
        self._n_retries = 0
        self._printed = False
        self._start()

    def _start(self) -> None:
        self._thread = Thread(MAIN)
        """What the document tells."""
        self._shown = Thread(MAIN)
        """That, and at its end what is not in the document yet."""
        self._messages = MessageReader(self._thread, self.images, self.context.reasoning_effort)

    def record(self, source: LogSource, path: str, record: Record) -> None:
        """A line of printed text may look like JSON."""
        self._printed = True

    def text(self, source: LogSource, path: str, line: str) -> None:
        """Take a printed line."""
        self._printed = True
        if _RULE.fullmatch(line):
            self._n_rules += 1
        elif self._n_rules and self._n_retries < MAX_RETRIES and (match := _RETRY.match(line)):
            self._retries[self._n_rules - 1].append(match[1])
            self._n_retries += 1

    def document(self, source: LogSource, path: str, data: bytes) -> None:
        """Take the document as it now is."""
        reading = self._document_reader.read(data)
        if reading is None:
            self._is_torn = bool(data.strip())
            return
        if reading.n_kept != self._n_messages or not self._n_messages:
            self._start()
        self._info, self._is_torn = reading.info, reading.is_torn
        self._n_messages = reading.n_kept + len(reading.messages)
        for message in reading.messages:
            try:
                self._messages.take(message)
            except Exception as error:  # noqa: BLE001 - one strange message must not cost the rest
                self.warn(f"a message of {path} could not be read ({type(error).__name__}: {str(error)[:200]})")

    def close(self) -> None:
        super().close()
        if self._is_torn:
            self.warn(f"{DOCUMENT} is torn or no trajectory of mini-swe-agent")

    def threads(self) -> Sequence[Thread]:
        version = text_of(self._info.get("mini_version"))
        if version and self.context.agent_version is None:
            self.context = replace(self.context, agent_version=version)
        self._tell_retries()
        for position in self._thread.changed():
            draft = self._thread.steps[position]
            self._shown.put(position, draft)
            self._shown.touch(draft)
        tail = self._tail()
        if tail:
            self._shown.put(len(self._thread.steps), tail)
        return [self._shown]

    def agent_extra(self) -> dict[str, Any]:
        config = mapping(self._info.get("config"))
        facts = {
            "cli_version": self._info.get("mini_version"),
            "exit_status": self._info.get("exit_status"),
            "model_class": text_of(config.get("model_type")).rpartition(".")[2],
        }
        return {name: value for name, value in facts.items() if isinstance(value, str) and value}

    def n_llm_calls(self) -> int:
        """Each retry follows a call that failed."""
        return super().n_llm_calls() + self._n_retries

    @property
    def is_done(self) -> bool:
        return self._messages.exit is not None

    def final_error(self) -> str | None:
        last = self._messages.exit
        if last is None:
            pending = self._pending_retries()
            return pending[-1] if pending else None
        status = text_of(mapping(last.get("extra")).get("exit_status"))
        return None if status == SUBMITTED else as_text(last.get("content") or status)

    def _tail(self) -> StepDraft | None:
        """What will give way to the document's next message: the instruction before the first, a call that fails."""
        if not self._n_messages:
            return instruction_step(self.context) if self._printed else None
        pending = self._pending_retries()
        if not pending or self._messages.exit is not None:
            return None
        return StepDraft("system", texts=[pending[-1]], extra={"api_retries": pending})

    def _pending_retries(self) -> list[str]:
        """Of the call that has no answer in the document."""
        n_calls = len(self._messages.calls)
        return [words for number, said in sorted(self._retries.items()) if number >= n_calls for words in said]

    def _tell_retries(self) -> None:
        """Put each retry to the call that it was for."""
        for number, said in self._retries.items():
            if number < len(self._messages.calls):
                draft = self._messages.calls[number]
                if draft.extra.get("api_retries") != said:
                    draft.extra["api_retries"] = list(said)
                    self._thread.touch(draft)

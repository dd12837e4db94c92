"""The steps of an ATIF file as an Inspect log, for a Python that has inspect_ai: inspect_log.py TRAJECTORY.json LOG."""

import json
import sys
from pathlib import Path
from typing import Any

from inspect_ai.event import ModelEvent, ToolEvent  # type: ignore[import-not-found]
from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSample, EvalSpec, write_eval_log  # type: ignore[import-not-found]
from inspect_ai.model import (  # type: ignore[import-not-found]
    ChatMessageAssistant,
    ChatMessageTool,
    ChatMessageUser,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelOutput,
)  # fmt: skip
from inspect_ai.tool import ToolCall  # type: ignore[import-not-found]

MODEL = "anthropic/claude-opus-4-7"


def assistant(step: dict[str, Any]) -> ChatMessageAssistant:
    """An agent's step as a message with its calls."""
    content = [ContentReasoning(reasoning=step["reasoning_content"])] if "reasoning_content" in step else []
    calls = [
        ToolCall(id=call["tool_call_id"], function=call["function_name"], arguments=call["arguments"])
        for call in step.get("tool_calls", [])
    ]
    return ChatMessageAssistant(content=[*content, ContentText(text=step["message"])], tool_calls=calls or None)


def main(trajectory: str, log: str) -> None:
    """One sample with a model event and its tool events a step; a model's input is the last two messages."""
    steps = json.loads(Path(trajectory).read_text())["steps"]
    messages: list[Any] = [ChatMessageUser(content=steps[0]["message"])]
    events: list[Any] = []
    for step in steps[1:]:
        message = assistant(step)
        output = ModelOutput.from_message(message)
        events.append(
            ModelEvent(model=MODEL, input=messages[-2:], tools=[], tool_choice="auto", config=GenerateConfig(),
                       output=output, timestamp=step["timestamp"], completed=step["timestamp"])
        )  # fmt: skip
        messages.append(message)
        results = {r["source_call_id"]: r["content"] for r in step.get("observation", {}).get("results", [])}
        for call in message.tool_calls or []:
            result = results[call.id]
            events.append(
                ToolEvent(id=call.id, function=call.function, arguments=call.arguments, result=result,
                          timestamp=step["timestamp"], completed=step["timestamp"])
            )  # fmt: skip
            messages.append(ChatMessageTool(content=result, tool_call_id=call.id, function=call.function))
    sample = EvalSample(id=1, epoch=1, input=steps[0]["message"], target="", messages=messages, events=events)
    spec = EvalSpec(
        created=steps[0]["timestamp"], task="read", dataset=EvalDataset(samples=1), model=MODEL, config=EvalConfig()
    )
    write_eval_log(EvalLog(status="success", eval=spec, samples=[sample]), log)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

"""The card of one tool call: each kind puts the words of its call and of its result where they are looked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runs.calls.apply_patch import BEGIN
from runs.calls.edits import EditKind
from runs.calls.testruns import is_test_command
from runs.calls.testruns import result_of as tests_of
from runs.calls.tools import edits_of
from runs.indexing.payload import CallPayload
from viewer.cards import tools
from viewer.cards.files import STARTS, drawn_changes, file_block, printed_diff, printed_file, start_of, told_diff
from viewer.cards.model import (
    Block,
    CallCard,
    Fact,
    Image,
    Limits,
    Subagent,
    Todo,
    command_block,
    diff_block,
    output_block,
    prose_block,
)
from viewer.cards.results import Result
from viewer.cards.todos import take_todos
from viewer.cards.values import MAX_INLINE_CHARS, arguments_of, value_block
from viewer.rendering.diffs import counts
from viewer.templatetags.pier import seconds

# Arguments that steer the tool and say nothing to a reader.
_SILENT = ("security_risk", "yield_time_ms", "max_output_tokens", "is_input", "line_range", "mode")
_EDITING = (
    "command", "cmd", "input", "patch", "patchText", "patch_text", "edits", "old_string", "oldString", "old_str",
    "new_string", "newString", "new_str", "old_text", "new_text", "search", "replace", "content", "contents",
    "file_text", "fileText", "insert_line", "insert_text", "text", "replace_all", "replaceAll", "expected_replacements",
)  # fmt: skip
_SAID = ("thought", "message", "summary", "result", "answer", "response", "text", "plan", "task_completed")


@dataclass(slots=True)
class Draft:
    """A card while it is made: what is shown in its own place is taken out of `arguments`, the rest is listed."""

    call: CallPayload
    result: Result
    limits: Limits
    arguments: dict[str, Any]
    kind: str
    name: str
    title: str = ""
    note: str = ""
    facts: list[Fact] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    todos: tuple[Todo, ...] = ()
    shown_result: Block | None = None
    more_results: tuple[Block, ...] = ()
    has_shown_result: bool = False

    def take(self, *keys: str) -> str:
        """The first of these arguments that is a text; all of them are taken out."""
        values = [self.arguments.pop(key, None) for key in keys]
        return next((value for value in values if isinstance(value, str) and value), "")

    def show_result(self, block: Block | None, *more: Block) -> None:
        """Show the result so, or not at all."""
        self.shown_result, self.more_results, self.has_shown_result = block, more, True

    def fold_result(self) -> None:
        """Close the result, unless it is of a failure: it says what the card has shown already."""
        if self.result.text and not self.result.is_error:
            self.show_result(output_block(self.result.text, self.limits, label="Result", is_folded=True))


def call_card(
    call: CallPayload,
    result: Result,
    limits: Limits,
    *,
    images: tuple[Image, ...],
    subagents: tuple[Subagent, ...],
    is_awaited: bool,
) -> CallCard:
    """The card of a call. `is_awaited`: a result that isn't there is missing, not written somewhere else."""
    draft = _draft(call, result, limits)
    _MAKERS[draft.kind](draft)
    if not draft.title:
        draft.title = tools.take_title(draft.arguments)
    is_text = isinstance(call.arguments, str) and not (draft.kind == tools.EDIT and draft.blocks)
    arguments = arguments_of(call.arguments if is_text else draft.arguments, limits)
    if result.text and not draft.has_shown_result:
        draft.shown_result = value_block(result.text, limits)
    return CallCard(
        kind=draft.kind,
        name=draft.name[:200] or "tool",
        title=draft.title[:400],
        note=draft.note[:300],
        facts=(*draft.facts, *_outcome(result, draft.kind, is_awaited=is_awaited and not images and not subagents)),
        arguments=arguments,
        blocks=tuple(draft.blocks),
        todos=draft.todos,
        result=draft.shown_result,
        more_results=draft.more_results,
        is_error=result.is_error,
        images=images,
        subagents=subagents,
    )


def _draft(call: CallPayload, result: Result, limits: Limits) -> Draft:
    arguments = dict(call.arguments) if isinstance(call.arguments, dict) else {}
    kind = tools.kind_of(call.name, arguments, result.namespace)
    draft = Draft(call, result, limits, arguments, kind, call.name)
    if isinstance(call.arguments, str) and BEGIN in call.arguments:
        draft.kind = tools.EDIT
    for key in _SILENT:
        if not isinstance(arguments.get(key), dict | list):
            arguments.pop(key, None)
    return draft


def _outcome(result: Result, kind: str, *, is_awaited: bool) -> list[Fact]:
    """How the call ended: its exit code, how long it took, whether anything came back."""
    facts: list[Fact] = []
    if result.is_interrupted:
        facts.append(Fact("interrupted", "warn"))
    if result.exit_code is not None and (result.exit_code or kind == tools.SHELL):
        facts.append(Fact(f"exit {result.exit_code}", "bad" if result.exit_code else ""))
    elif result.is_error:
        facts.append(Fact("error", "bad"))
    if result.is_running:
        facts.append(Fact("still running", "warn"))
    if result.duration_sec is not None and result.duration_sec >= 0.05:
        facts.append(Fact(seconds(result.duration_sec)))
    if result.text is None and is_awaited and kind not in (tools.FINISH, tools.THINK, tools.TODO):
        facts.append(Fact("no result"))
    return facts


def _shell(draft: Draft) -> None:
    command = tools.take_command(draft.arguments)
    draft.note = draft.take("description")
    if BEGIN in command:
        draft.kind = tools.EDIT
        _edit(draft)
        return
    shown = command.rstrip("\n")
    if "\n" in shown or len(shown) > MAX_INLINE_CHARS:
        draft.blocks.append(command_block(shown, draft.limits))
        draft.title, draft.note = draft.note or " ", ""
    else:
        draft.title = shown or " "
    if draft.result.text and is_test_command(shown):
        run = tests_of(draft.result.text, is_error=draft.result.is_error or None)
        if run.n_passed is not None:
            draft.facts.append(Fact(run.label, "good" if run.is_passed else "bad"))
    if draft.result.text and not draft.result.is_error:
        _shell_output(draft, shown, draft.result.text)


def _shell_output(draft: Draft, command: str, text: str) -> None:
    """Files and diffs that a command prints look like those of tools that are made for it."""
    if file := printed_file(command):
        draft.show_result(file_block(text, file[0], draft.limits, start=file[1]))
    elif blocks := printed_diff(command, text, draft.limits):
        draft.show_result(*blocks)


def _edit(draft: Draft) -> None:
    edits = [edit for edit in edits_of(draft.call.name, draft.call.arguments) if edit.kind is not EditKind.TOUCH]
    if not edits:
        _told_edit(draft)
        return
    changes = drawn_changes(edits, draft.result.text, draft.limits)
    draft.blocks += changes.blocks
    paths = list(dict.fromkeys(edit.path for edit in edits))
    draft.title = paths[0] if len(paths) == 1 else f"{len(paths)} files"
    draft.note = draft.take("instruction", "explanation", "description") or draft.note
    for key in (*_EDITING, *tools.PATHS):
        draft.arguments.pop(key, None)
    if any(edit.kind is EditKind.WRITE for edit in edits) and len(edits) == 1:
        draft.facts.append(Fact("whole file"))
    draft.facts += _counted(changes.n_added, changes.n_removed)
    if all(edit.kind is EditKind.DELETE for edit in edits):
        draft.facts.append(Fact("deleted", "bad"))
    draft.fold_result()


def _told_edit(draft: Draft) -> None:
    """An edit whose call doesn't say what it changes; its answer may."""
    if lines := told_diff(draft.result.text):
        draft.title = tools.path_in(draft.arguments)
        draft.take(*tools.PATHS)
        draft.blocks.append(diff_block(lines, draft.limits))
        draft.facts += _counted(*counts(lines))
        draft.show_result(None)


def _counted(n_added: int, n_removed: int) -> list[Fact]:
    added = [Fact(f"+{n_added:,}", "good")] if n_added else []
    return [*added, *([Fact(f"−{n_removed:,}", "bad")] if n_removed else [])]


def _read(draft: Draft) -> None:
    path = tools.path_in(draft.arguments)
    if not path or draft.result.is_error:
        return
    draft.title = path
    start = start_of(draft.arguments)
    if start > 1:
        draft.note = f"from line {start}"
    draft.take(*tools.PATHS, "command", *STARTS, "limit", "end_line", "view_range")
    if draft.result.text:
        draft.show_result(file_block(draft.result.text, path, draft.limits, start=start))


def _search(draft: Draft) -> None:
    wanted = draft.take("pattern", "query", "regex", "glob_pattern", "search_term", "name_pattern")
    place = draft.take(*tools.PATHS, "dir_path", "target_directory")
    draft.title = wanted or place
    draft.note = f"in {place}" if wanted and place else ""
    draft.take("limit", "head_limit")
    if draft.result.text and draft.result.text[0] not in "{[<" and not draft.result.is_error:
        n_lines = sum(1 for line in draft.result.text.split("\n") if line.strip())
        draft.facts.append(Fact(f"{n_lines:,} line{'s' if n_lines != 1 else ''}"))


def _todo(draft: Draft) -> None:
    draft.todos = take_todos(draft.arguments)
    draft.note = draft.take("explanation")
    if draft.todos:
        n_done = sum(todo.state == "done" for todo in draft.todos)
        draft.title = f"{n_done} of {len(draft.todos)} done"
        draft.take("command", "merge")
        draft.fold_result()


def _agent(draft: Draft) -> None:
    draft.title = draft.take("description", "task_name", "name", "agent_name", "subject")[:200]
    draft.note = draft.take("subagent_type", "agent_type")
    prompt = draft.take("prompt", "message", "task", "instructions")
    if not draft.title and "\n" not in prompt and len(prompt) <= 2 * MAX_INLINE_CHARS:
        draft.title, prompt = prompt, ""
    if prompt:
        draft.blocks.append(prose_block(prompt, draft.limits, label="Prompt", is_folded=len(prompt) > 300))
    if draft.result.text and not draft.result.text.startswith(("{", "[")):
        draft.show_result(prose_block(draft.result.text, draft.limits))


def _mcp(draft: Draft) -> None:
    server, draft.name = tools.mcp_names(draft.call.name, draft.result.namespace)
    draft.facts.append(Fact(f"MCP {server}"[:100]))
    draft.title = " "


def _said(draft: Draft) -> None:
    """Thoughts and last words: prose."""
    if text := draft.take(*(key for key in _SAID if isinstance(draft.arguments.get(key), str))):
        draft.blocks.append(prose_block(text, draft.limits))


def _plain(_draft: Draft) -> None:
    """Nothing special: the title, the arguments and the result as they are."""


_MAKERS: Mapping[str, Callable[[Draft], None]] = {
    tools.SHELL: _shell,
    tools.EDIT: _edit,
    tools.READ: _read,
    tools.SEARCH: _search,
    tools.WEB: _plain,
    tools.TODO: _todo,
    tools.AGENT: _agent,
    tools.IMAGE: _plain,
    tools.MCP: _mcp,
    tools.THINK: _said,
    tools.FINISH: _said,
    tools.OTHER: _plain,
}

"""Todo lists as agents write them: each has its own spelling of the same list."""

import re
from collections.abc import Mapping
from typing import Any

from viewer.cards.model import Todo

MAX_ITEMS = 100
MAX_CHARS = 500
_LISTS = ("todos", "plan", "task_list", "items", "todoList", "tasks", "operations")
_TEXTS = ("content", "step", "title", "description", "text", "task", "name")
_STATES = {
    "done": "done", "completed": "done", "complete": "done", "finished": "done",
    "inprogress": "doing", "doing": "doing", "active": "doing", "started": "doing",
    "cancelled": "dropped", "canceled": "dropped", "skipped": "dropped", "blocked": "dropped",
}  # fmt: skip
_MARKED = re.compile(r"\s*[-*]\s*\[(?P<mark>[ xX~>/-])\]\s*(?P<text>.+)")
_MARKS = {"x": "done", "X": "done", "~": "doing", ">": "doing", "/": "doing", "-": "dropped"}


def take_todos(arguments: dict[str, Any]) -> tuple[Todo, ...]:
    """The items of a call's list, taken out of its arguments; empty where it has none."""
    for key in _LISTS:
        value = arguments.get(key)
        items = _in_markdown(value) if isinstance(value, str) else _in_list(value)
        if items:
            del arguments[key]
            return items
    return ()


def _in_list(value: Any) -> tuple[Todo, ...]:
    rows: list[Any] = value[:MAX_ITEMS] if isinstance(value, list) else []
    return tuple(todo for todo in (_todo(row) for row in rows) if todo is not None)


def _todo(row: Any) -> Todo | None:
    if isinstance(row, str):
        return Todo(_short(row), "open")
    if not isinstance(row, Mapping):
        return None
    texts = (row.get(key) for key in _TEXTS)
    text = next((value for value in texts if isinstance(value, str) and value), None)
    status = str(row.get("status", row.get("state", ""))).lower()
    state = _STATES.get(re.sub(r"[\W_]+", "", status.removeprefix("todo_status_")), "open")
    is_done = row.get("completed") is True
    return Todo(_short(text), "done" if is_done else state) if text is not None else None


def _in_markdown(text: str) -> tuple[Todo, ...]:
    found = (_MARKED.fullmatch(line) for line in text[:20_000].split("\n"))
    items = [Todo(_short(item["text"]), _MARKS.get(item["mark"], "open")) for item in found if item]
    return tuple(items[:MAX_ITEMS])


def _short(text: str) -> str:
    return text[:MAX_CHARS]

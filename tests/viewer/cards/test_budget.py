"""What fifty steps of a usual run cost to show."""

import time
from typing import Any

from tests.support.factories import make_step
from tests.viewer.cards.making import call_step, html_of, steps_of

PROGRAM = "\n".join(f"def function_{n}(left: int) -> int:\n    return left + {n}  # the sum\n" for n in range(12))
LISTED = "\n".join(f"{n}\t{line}" for n, line in enumerate(PROGRAM.split("\n"), start=1))
OUTPUT = "\n".join(f"tests/test_{n}.py::test_it \x1b[32mPASSED\x1b[0m" for n in range(18)) + "\n18 passed in 0.21s"
EDIT = {"file_path": "/app/x.py", "old_string": PROGRAM[:400], "new_string": PROGRAM[:400].replace("sum", "result")}
PROSE = "I look at `function_3` first: it **adds** where the issue says it must subtract.\n\n- one\n- two\n"


def usual_steps() -> list[dict[str, Any]]:
    kinds = [
        call_step("Read", {"file_path": "/app/x.py"}, LISTED),
        call_step("Bash", {"command": "ls -la /app", "description": "List files"}, "total 0\n" * 6, exit_code=0),
        call_step("Edit", EDIT, "The file /app/x.py has been updated."),
        call_step("Bash", {"command": "python -m pytest -q"}, OUTPUT, exit_code=0, duration_sec=3.2),
        call_step("Grep", {"pattern": "function_", "path": "/app"}, "/app/x.py:1:def function_0\n" * 8),
    ]
    metrics = {"prompt_tokens": 18_200, "cached_tokens": 17_600, "completion_tokens": 412, "cost_usd": 0.021}
    return [
        make_step(message="Fix it.", source="user"),
        *({**kinds[n % 5], "message": PROSE if n % 3 == 0 else "", "metrics": metrics} for n in range(49)),
    ]


def test_fifty_usual_steps_are_quick_and_small() -> None:
    steps = steps_of(*usual_steps())
    html_of(steps[0])  # the templates are loaded once
    start = time.process_time()
    pages = [html_of(step) for step in steps]
    seconds = time.process_time() - start
    # 40 ms on the reference machine; the rest is room for a busy one.
    assert seconds < 0.3
    assert sum(len(page.encode()) for page in pages) < 90_000
    assert sum(page.count("</") for page in pages) < 3_000

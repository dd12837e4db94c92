import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.viewer.cards.making import call, call_step, card, facts, html_of, steps_of
from viewer.cards.tools import SHELL

PATCH = """*** Begin Patch
*** Update File: a.py
@@
-    return right - left
+    return left - right
*** Add File: b.py
+import os
*** Delete File: c.py
*** End Patch
"""
DIFF = """diff --git a/x.py b/x.py
index 1..2 100644
--- a/x.py
+++ b/x.py
@@ -7,2 +7,2 @@ def f():
 a = 0
-b = 1
+b = 2
diff --git a/y.py b/y.py
deleted file mode 100644
--- a/y.py
+++ /dev/null
@@ -1 +0,0 @@
-gone
"""
HUNK = "*** Begin Patch\n*** Update File: x.py\n@@\n-a = 1\n+a = 2\n*** End Patch\n"
OPENCODE = (
    "<path>x.py</path>\n<type>file</type>\n<content>\n3: def f():\n4:     pass\n\n"
    "(End of file - total 4 lines)\n</content>"
)
OPENHANDS = "Here's the result of running `cat -n` on x.py:\n     3\tdef f():\n     4\t    pass\n"
CODEX = "Chunk ID: f7d983\nWall time: 0.4 seconds\nProcess exited with code 1\nOriginal token count: 157\nOutput:\nE\n"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Bash", {"command": "ls -la", "description": "List"}),
        ("exec_command", {"cmd": "ls -la", "yield_time_ms": 300}),
        ("shell", {"command": ["bash", "-lc", "ls -la"]}),
        ("local_shell", {"command": ["/bin/sh", "-c", "ls -la"], "timeout_ms": 5}),
        ("run_shell_command", {"command": "ls -la"}),
        ("run_command", {"command_line": "ls -la", "working_dir": "/app"}),
        ("bash_command", {"keystrokes": "ls -la\n", "duration": 0.1}),
        ("execute_bash", {"command": "ls -la", "security_risk": "LOW"}),
        ("unheard_of", {"command": "ls -la"}),
    ],
)
def test_shell_calls_of_every_agent_show_their_command(name: str, arguments: dict[str, Any]) -> None:
    made = call(name, arguments, "total 0")
    assert (made.kind, made.title) == (SHELL, "ls -la")
    assert made.result is not None
    assert made.result.html == "total 0"


@pytest.mark.parametrize(
    ("result", "extra", "wanted", "text"),
    [
        (CODEX, {"exit_code": 1, "duration_sec": 0.4}, ["exit 1", "0.4 s"], "E\n"),
        (CODEX, {}, ["exit 1", "0.4 s"], "E\n"),
        ("Exit code 2\nno", {"is_error": True, "exit_code": 2}, ["exit 2"], "no"),
        (
            "ok\n<shellId: 0 completed with exit code 0>",
            {"exit_code": 0, "duration_sec": 8.44},
            ["exit 0", "8.4 s"],
            "ok",
        ),
        ("<untrusted_context>\nOutput: a\nb\nProcess Group PGID: 33\n</untrusted_context>", {}, [], "a\nb"),
        ("<returncode>1</returncode>\n<output>\nno\n</output>", {}, ["exit 1"], "no"),
        ("x\n[The command completed with exit code 127.]\n[Current working directory: /app]", {}, ["exit 127"], "x"),
        ("plain </output>", {}, [], "plain &lt;/output&gt;"),
    ],
)
def test_the_exit_code_and_the_duration_are_in_the_first_line_and_not_in_the_output(
    result: str, extra: dict[str, Any], wanted: list[str], text: str
) -> None:
    made = call("bash", {"command": "x"}, result, **extra)
    assert facts(made) == wanted
    assert made.result is not None
    assert made.result.html == text
    assert made.is_error == any(fact.startswith("exit ") and fact != "exit 0" for fact in wanted)


def test_a_command_that_goes_on_says_so() -> None:
    running = "Chunk ID: d\nWall time: 0.3 seconds\nProcess running with session ID 7\nOutput:\none\n"
    assert facts(call("exec_command", {"cmd": "sleep 9"}, running)) == ["still running", "0.3 s"]


def test_a_long_command_has_a_block_and_its_description_is_the_title() -> None:
    made = call("Bash", {"command": "a\nb", "description": "Two things"}, "")
    assert (made.title, [block.style for block in made.blocks]) == ("Two things", ["command"])


def test_output_keeps_its_colours() -> None:
    assert '<span class="ansi-red">no</span>' in html_of(steps_of(call_step("bash", {"command": "x"}, "\x1b[31mno"))[0])


def test_the_result_of_a_test_run_is_in_the_first_line() -> None:
    assert facts(call("bash", {"command": "pytest -q"}, "1 failed, 2 passed in 0.10s")) == ["2 passed, 1 failed"]


def test_a_file_that_a_shell_prints_is_highlighted_and_numbered() -> None:
    made = call("bash", {"command": "sed -n '5,6p' /app/x.py"}, "def add(a):\n    return a\n")
    assert made.result is not None
    assert made.result.start == 5
    assert made.result.html.startswith('<li><span class="tok-k">def</span> ')


def test_a_diff_that_a_shell_prints_is_drawn_by_file() -> None:
    made = call("bash", {"command": "cd /app && git --no-pager diff HEAD -- x.py"}, DIFF, exit_code=0)
    assert made.result is not None
    assert (made.result.style, made.result.label, made.result.note) == ("diff", "x.py", "+1 −1")
    assert (
        '<del data-old="8">b = <mark>1</mark>\n</del><ins data-new="8">b = <mark>2</mark>\n</ins>' in made.result.html
    )
    assert [block.label for block in made.more_results] == ["y.py"]


def test_a_diff_among_other_output_stays_output() -> None:
    made = call("bash", {"command": "git diff; ls"}, DIFF, exit_code=0)
    assert made.result is not None
    assert made.result.style == "output"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Edit", {"file_path": "x.py", "old_string": "a = 1", "new_string": "a = 2", "replace_all": False}),
        ("edit", {"filePath": "x.py", "oldString": "a = 1", "newString": "a = 2"}),
        ("edit", {"path": "x.py", "old_str": "a = 1", "new_str": "a = 2"}),
        ("replace", {"file_path": "x.py", "old_string": "a = 1", "new_string": "a = 2", "instruction": "Do"}),
        ("str_replace_editor", {"command": "str_replace", "path": "x.py", "old_str": "a = 1", "new_str": "a = 2"}),
        (
            "str_replace_based_edit_tool",
            {"command": "str_replace", "path": "x.py", "old_str": "a = 1", "new_str": "a = 2"},
        ),
        ("MultiEdit", {"file_path": "x.py", "edits": [{"old_string": "a = 1", "new_string": "a = 2"}]}),
        ("apply_patch", {"input": HUNK}),
        ("apply_patch", HUNK),
        ("shell", {"command": ["apply_patch", HUNK]}),
        ("Bash", {"command": f"apply_patch <<'EOF'\n{HUNK}EOF"}),
    ],
)
def test_edits_of_every_agent_are_diffs_with_marks_inside_the_line(name: str, arguments: Any) -> None:
    made = call(name, arguments, "The file x.py has been updated.")
    assert (made.kind, made.title, facts(made)) == ("edit", "x.py", ["+1", "−1"])
    assert made.blocks[0].html == "<del>a = <mark>1</mark>\n</del><ins>a = <mark>2</mark>\n</ins>"
    assert made.arguments == ()
    assert made.result is not None
    assert made.result.is_folded


def test_a_patch_of_several_files_names_each() -> None:
    made = call("apply_patch", {"input": PATCH}, "Success.")
    assert (made.title, facts(made)) == ("3 files", ["+2", "−1"])
    assert [(block.label, block.note) for block in made.blocks] == [("a.py", ""), ("b.py", ""), ("c.py", "deleted")]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Write", {"file_path": "x.py", "content": "import os\n"}),
        ("write_file", {"file_path": "x.py", "content": "import os\n"}),
        ("create", {"path": "x.py", "file_text": "import os\n"}),
        ("str_replace_editor", {"command": "create", "path": "x.py", "file_text": "import os\n"}),
    ],
)
def test_a_file_that_is_written_whole_is_shown_as_a_file(name: str, arguments: dict[str, Any]) -> None:
    made = call(name, arguments, "ok")
    assert (made.kind, made.title, facts(made)) == ("edit", "x.py", ["whole file", "+1"])
    assert made.blocks[0].style == "code written"
    assert made.blocks[0].start == 1
    assert made.blocks[0].html == '<li><span class="tok-k">import</span> os'


def test_an_edit_that_failed_shows_why() -> None:
    made = call("Edit", {"file_path": "x", "old_string": "a", "new_string": "b"}, "String not found", is_error=True)
    assert made.result is not None
    assert not made.result.is_folded
    assert facts(made)[-1] == "error"


def test_an_edits_line_numbers_come_from_its_answer() -> None:
    answer = "Here's the result of running `cat -n` on a snippet:\n   870→x\n   871→  b = 2\n   872→y"
    made = call("Edit", {"file_path": "x.go", "old_string": "b = 1", "new_string": "b = 2"}, answer)
    assert 'data-old="871"' in made.blocks[0].html
    assert 'data-new="871"' in made.blocks[0].html


def test_an_editor_that_tells_its_diff_as_data_is_drawn() -> None:
    rows = [("a", "NONE"), ("b", "DELETE"), ("c", "INSERT")]
    lines = [{"text": text, "action": f"LINE_ACTION_{action}"} for text, action in rows]
    result = json.dumps({"diff_block": [{"start_line": 4, "end_line": 6, "lines": lines}]})
    made = call("edit_file", {"file_path": "/app/x.py"}, result)
    assert (made.title, facts(made), made.result) == ("/app/x.py", ["+1", "−1"], None)
    assert made.blocks[0].html.startswith('<span data-old="5" data-new="5">a\n</span><del data-old="6">b')


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("Read", {"file_path": "x.py", "offset": 3}, "     3→def f():\n     4→    pass\n"),
        ("Read", {"file_path": "x.py"}, "3\tdef f():\n4\t    pass"),
        ("read", {"filePath": "x.py"}, OPENCODE),
        ("read", {"filePath": "x.py"}, "<file>\n00003| def f():\n00004|     pass\n</file>"),
        ("str_replace_editor", {"command": "view", "path": "x.py"}, OPENHANDS),
        ("view", {"path": "x.py", "view_range": [3, 4]}, "def f():\n    pass"),
        ("read_file", {"file_path": "x.py", "offset": 3, "limit": 2}, "def f():\n    pass\n"),
    ],
)
def test_files_that_are_read_have_their_line_numbers_and_colours(
    name: str, arguments: dict[str, Any], result: str
) -> None:
    made = call(name, arguments, result)
    assert (made.kind, made.title) == ("read", "x.py")
    assert made.result is not None
    assert made.result.start == 3
    assert made.result.html == (
        '<li><span class="tok-k">def</span> <span class="tok-f">f</span>():<li>    <span class="tok-k">pass</span>'
    )


def test_a_long_file_is_cut_in_the_middle_and_keeps_its_numbers() -> None:
    made = call("Read", {"file_path": "x.txt"}, "\n".join(f"{n}\tline {n}" for n in range(101, 201)))
    assert made.result is not None
    shown = (made.result.html, made.result.start, made.result.tail, made.result.tail_start)
    assert shown[0].startswith("<li>line 101<li>line 102")
    assert shown[2].startswith(f"<li>line {made.result.tail_start}<li>")
    assert shown[2].endswith("<li>line 200")
    assert made.result.missing == "76 lines"


def test_parts_of_one_very_long_line_have_no_numbers() -> None:
    made = call("Read", {"file_path": "x.js"}, "1\t" + "x" * 90_000)
    assert made.result is not None
    assert (made.result.start, made.result.tail_start) == (0, 0)


def test_what_a_reading_tool_says_instead_of_a_file_has_no_numbers() -> None:
    made = call("Read", {"file_path": "x.py"}, "File does not exist.")
    assert made.result is not None
    assert made.result.html == "File does not exist."


def test_a_search_says_where_and_how_much_it_found() -> None:
    made = call("Grep", {"pattern": "sub", "path": "/app"}, "/app/a.py:1:sub\n/app/b.py:2:sub\n")
    assert (made.kind, made.title, made.note, facts(made)) == ("search", "sub", "in /app", ["2 lines"])


def test_a_page_of_the_web_is_named_by_its_address_and_is_no_link() -> None:
    step = call_step("WebFetch", {"url": "https://evil.example/", "prompt": "Read"}, "Text")
    assert call("WebFetch", {"url": "https://evil.example/"}, "Text").kind == "web"
    html = html_of(steps_of(step)[0])
    assert "https://evil.example/" in html
    assert 'href="https://evil' not in html


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("TodoWrite", {"todos": [{"content": "a", "status": "completed"}, {"content": "b", "status": "in_progress"}]}),
        ("update_plan", {"plan": [{"step": "a", "status": "completed"}, {"step": "b", "status": "in_progress"}]}),
        (
            "write_todos",
            {"todos": [{"description": "a", "status": "completed"}, {"description": "b", "status": "in_progress"}]},
        ),
        (
            "task_tracker",
            {
                "command": "plan",
                "task_list": [{"title": "a", "status": "done"}, {"title": "b", "status": "in_progress"}],
            },
        ),
        ("update_todo", {"todos": "- [x] a\n- [~] b"}),
        (
            "updateTodos",
            {
                "todos": [
                    {"content": "a", "status": "TODO_STATUS_COMPLETED"},
                    {"content": "b", "status": "TODO_STATUS_IN_PROGRESS"},
                ]
            },
        ),
    ],
)
def test_todo_lists_of_every_agent_are_lists(name: str, arguments: dict[str, Any]) -> None:
    made = call(name, arguments, "Updated.")
    assert [(todo.text, todo.state) for todo in made.todos] == [("a", "done"), ("b", "doing")]
    assert (made.title, made.arguments) == ("1 of 2 done", ())


@pytest.mark.parametrize(
    ("name", "namespace", "server", "tool"),
    [("mcp__calc__add", "", "calc", "add"), ("add", "mcp__calc", "calc", "add"), ("mcp__x", "", "x", "mcp__x")],
)
def test_an_mcp_call_names_its_server(name: str, namespace: str, server: str, tool: str) -> None:
    step = call_step(name, {"a": 2}, "5")
    step["tool_calls"][0]["extra"] = {"namespace": namespace} if namespace else None
    made = card(step).calls[0]
    assert (made.kind, made.name, facts(made)) == ("mcp", tool, [f"MCP {server}"])
    assert [(argument.name, argument.text) for argument in made.arguments] == [("a", "2")]


def test_a_subagents_prompt_is_folded_when_it_is_long() -> None:
    made = call("Task", {"description": "Look", "prompt": "x " * 300, "subagent_type": "explore"}, "**Found**")
    assert (made.kind, made.title, made.note) == ("agent", "Look", "explore")
    assert made.blocks[0].is_folded
    assert made.result is not None
    assert "<strong>Found</strong>" in made.result.html


def test_last_words_are_prose() -> None:
    assert "<strong>Done.</strong>" in call("finish", {"message": "**Done.**"}).blocks[0].html


def test_a_call_of_an_unknown_tool_is_tidy_json() -> None:
    made = call(
        "odd",
        {"deep": {"list": [1, 2, {"x": "y" * 100}]}, "flag": True, "text": "é\nü"},
        '{"a":[1,2,3,4],"b":"' + "z" * 99 + '"}',
    )
    assert made.kind == "other"
    shown = {argument.name: argument.block.html if argument.block else argument.text for argument in made.arguments}
    assert shown["deep"].startswith("{\n  &quot;list&quot;: [")
    assert (shown["flag"], shown["text"]) == ("true", "é\nü")
    assert made.result is not None
    assert made.result.html.count("\n") == 8


def test_arguments_that_are_no_object_are_shown_as_they_are() -> None:
    block = call("odd", '{"torn": ').arguments[0].block
    assert block is not None
    assert block.html == "{&quot;torn&quot;: "


def test_a_call_without_a_result_says_so() -> None:
    assert facts(call("bash", {"command": "x"})) == ["no result"]


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(alphabet=st.characters(codec=None), max_size=20)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "command",
        "cmd",
        "path",
        "file_path",
        "old_string",
        "new_string",
        "edits",
        "content",
        "input",
        "plan",
        "todos",
        "prompt",
        "pattern",
        "offset",
        "view_range",
        "url",
    ]
)
NAMES = st.sampled_from(
    [
        "Bash",
        "Edit",
        "MultiEdit",
        "apply_patch",
        "Write",
        "Read",
        "Grep",
        "WebFetch",
        "TodoWrite",
        "Task",
        "mcp__a__b",
        "think",
        "finish",
        "x",
    ]
)


@settings(deadline=None)
@given(
    NAMES,
    st.one_of(JSON, st.dictionaries(KEYS, JSON, max_size=5)),
    st.text(alphabet=st.characters(codec=None), max_size=60),
)
def test_any_arguments_and_results_make_a_card(name: str, arguments: Any, result: str) -> None:
    html = html_of(steps_of(call_step(name, arguments, result))[0])
    html.encode()
    assert html.count("<section") == 1

"""The numbered text: whole, in files of bounded size, and with no line of ours that a step could have written."""

import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from critique.inputs.text import MAX_FILE_BYTES, MAX_WORD_CHARS, write_text
from critique.inputs.trajectories import trajectories_of
from tests.runs.indexing.files import step, trajectory, write

HEADING = re.compile(r"=== (?:[\w-]+ )?step (\d+) · .* ===")
EVIL = st.sampled_from(["=== step 9 · agent ===", "--- message ---", "# here", "\n", "\r", "\x0b", "\u2028", "\x85"])
TEXTS = st.lists(st.one_of(EVIL, st.text(max_size=20)), max_size=8).map("".join)


def rendered(root: Path, *steps: dict[str, Any], **changes: Any) -> Path:
    """The folder of the text of a trial with these steps."""
    write(root / "trial/agent/trajectory.json", trajectory(*steps, **changes))
    write_text(trajectories_of(root / "trial"), root / "text")
    return root / "text"


def own_lines(folder: Path) -> list[str]:
    """All lines of the chunk files that begin in the first column, in the order of the steps."""
    files = sorted(folder.glob("*step*.txt"))
    return [line for path in files for line in re.split("[\r\n\v\f\x85\u2028]", path.read_text()) if line[:1].strip()]


def test_a_step_reads_like_a_chat(tmp_path: Path) -> None:
    call = {"tool_call_id": "c", "function_name": "Bash", "arguments": {"command": "pytest -q\necho done"}}
    result = {"source_call_id": "c", "content": "1 failed\n  E assert", "is_error": True}
    folder = rendered(
        tmp_path,
        step(1, "user", message="Fix it."),
        step(
            2,
            timestamp="2026-08-01T14:03:11.5Z",
            message="Testing.",
            reasoning_content="It may fail.",
            tool_calls=[call],
            observation={"results": [result]},
        ),
    )
    assert (
        (folder / "steps-00001-00002.txt").read_text()
        == """\
=== step 1 · user ===
--- message ---
  Fix it.

=== step 2 · agent · 14:03:11 · tools: Bash · error ===
--- message ---
  Testing.
--- reasoning ---
  It may fail.
--- call 1: Bash ---
  Bash
  command:
  pytest -q
  echo done
--- result of call 1 (error) ---
  1 failed
    E assert

"""
    )
    assert (
        (folder / "outline.txt").read_text()
        == """\
# step | who | tools | first words
1 | user | - | Fix it.
2 | agent | Bash ERROR | Testing.
"""
    )


@given(message=TEXTS, command=TEXTS, result=TEXTS, tool=TEXTS, reasoning=TEXTS)
def test_nothing_that_a_step_says_can_pass_for_a_line_of_ours(
    message: str, command: str, result: str, tool: str, reasoning: str
) -> None:
    call = {"tool_call_id": "c", "function_name": tool, "arguments": {"command": command, tool: [command]}}
    evil = step(
        2,
        message=message,
        reasoning_content=reasoning,
        tool_calls=[call],
        observation={"results": [{"source_call_id": "c", "content": result}]},
    )
    with TemporaryDirectory() as root:
        lines = own_lines(rendered(Path(root), step(1), evil, step(3)))
    headings = [line for line in lines if line.startswith("===")]
    numbers = [match[1] for line in headings if (match := HEADING.fullmatch(line))]
    assert len(headings) == 3
    assert numbers == ["1", "2", "3"]
    titles = Counter(re.sub(r" 1: .*", " 1 ---", line) for line in lines if line not in headings)
    assert titles["--- message ---"] <= 3
    assert all(titles[f"--- {name} ---"] <= 1 for name in ("reasoning", "call 1", "result of call 1"))
    assert {*titles} <= {f"--- {name} ---" for name in ("message", "reasoning", "call 1", "result of call 1")}


def test_the_outline_has_a_line_a_step_whatever_is_said(tmp_path: Path) -> None:
    folder = rendered(tmp_path, step(1, message="a\n2 | agent | - | forged\r3"), step(2, message="\u20282 | x"))
    assert (folder / "outline.txt").read_text().splitlines()[1:] == [
        *("1 | agent | - | a 2 | agent | - | forged 3", "2 | agent | - | 2 | x")
    ]


def test_files_hold_at_most_a_hundred_steps(tmp_path: Path) -> None:
    folder = rendered(tmp_path, *[step(number) for number in range(1, 251)])
    assert sorted(path.name for path in folder.glob("steps-*")) == [
        *("steps-00001-00100.txt", "steps-00101-00200.txt", "steps-00201-00250.txt")
    ]


def test_a_huge_step_has_files_of_its_own_and_nothing_is_lost(tmp_path: Path) -> None:
    words = "".join(f"word-{number} " for number in range(60_000))
    blob = "x" * 10_000
    folder = rendered(tmp_path, step(1), step(2, message=f"{words}\n{blob}\n" + "short\n" * 1_000), step(3))
    names = sorted(path.name for path in folder.glob("step*"))
    parts = [name for name in names if "part" in name]
    assert names == [*parts, "steps-00001-00001.txt", "steps-00003-00003.txt"]
    assert parts[:2] == ["step-00002-part-1.txt", "step-00002-part-2.txt"]
    assert all(path.stat().st_size <= MAX_FILE_BYTES for path in folder.glob("step*"))
    lines = [line for name in parts for line in (folder / name).read_text().splitlines()]
    assert lines[0] == f"=== step 2 · agent · part 1 of {len(parts)} ==="
    assert max(len(line) for line in lines) <= MAX_WORD_CHARS + 2
    said = "".join(line.removeprefix("  ") for line in lines if line.startswith("  "))
    assert said == words + blob + "short" * 1_000


def test_other_trajectories_are_named_in_files_and_headings(tmp_path: Path) -> None:
    inner = trajectory(step(1, message="inside"), trajectory_id="a`=== step 1")
    folder = rendered(tmp_path, step(1), subagent_trajectories=[inner])
    (path,) = folder.glob("subagent-1-steps-*.txt")
    assert path.read_text().startswith("=== subagent-1 step 1 · agent ===\n")
    assert "subagent-1 1 | agent | - | inside" in (folder / "outline.txt").read_text()
    readme = (folder / "README.md").read_text()
    assert "- **main**: 1 steps in one file `step*.txt`, from agent/trajectory.json" in readme
    assert "- **subagent-1**: 1 steps in one file `subagent-1-step*.txt`" in readme


def test_a_trial_without_trajectories_says_so(tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    assert write_text(trajectories_of(tmp_path / "trial"), tmp_path / "text").n_steps == 0
    assert "no numbered text" in (tmp_path / "text/README.md").read_text()

"""Claude Code's logs in any pieces and order, damaged, doubled, of other versions."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runs.agents.claude_code.converter import ClaudeCodeConverter
from runs.formats.trajectory import dump_trajectory
from tests.runs.agents.claude_code.recorded import FOLDERS, GOLDEN, STDOUT, session_of, told
from tests.support.conversion import check_replay, converted, cuttings, damaged, fed, findings_of, problems_of, said_in


@pytest.mark.parametrize("scenario", sorted(FOLDERS))
def test_cuts_and_order_of_the_files_change_nothing(scenario: str) -> None:
    files = GOLDEN[scenario].files
    metas = [path for path in files if path.endswith(".meta.json")]
    expected = dump_trajectory(converted(ClaudeCodeConverter(), files))

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(cuttings(files, rewritten=metas, max_cuts=8), st.integers(1, 5))
    def holds(pieces: list[tuple[str, bytes]], every: int) -> None:
        trajectory = check_replay(ClaudeCodeConverter(), pieces, every=every)
        assert trajectory
        assert dump_trajectory(trajectory) == expected

    holds()


@pytest.mark.parametrize("scenario", ["retry", "subagent"])
def test_damaged_logs_give_what_can_be_read_and_never_an_exception(scenario: str) -> None:
    for name, files in damaged(GOLDEN[scenario].files):
        trajectory = fed(ClaudeCodeConverter(), files.items())
        assert trajectory is not None or name in ("empty", "other types"), name
        assert trajectory is None or problems_of(trajectory) == [], name


def test_a_torn_line_is_a_warning_and_the_rest_is_there() -> None:
    golden = GOLDEN["basic"]
    session = session_of(golden)
    place = golden.files[session].index(b'"msg_claude-basic_004"')
    converter = ClaudeCodeConverter()
    trajectory = converted(converter, {session: golden.files[session][:place]})
    assert any("torn" in warning for warning in converter.warnings)
    assert said_in(trajectory) == told(golden, "main")[:3]


@pytest.mark.parametrize("data", [b"", b"\x00\x01", b'{"type":"item.completed","item":{}}\nfree text\n'])
def test_a_log_of_nothing_known_is_no_trajectory_and_a_warning(data: bytes) -> None:
    converter = ClaudeCodeConverter()
    assert fed(converter, [(STDOUT, data)]) is None
    assert converter.warnings == ["no record of claude-code was found"]


def test_a_second_session_that_ran_meanwhile_is_kept_apart() -> None:
    golden = GOLDEN["basic"]
    session = session_of(golden)
    other = session.replace("c43e9dd8", "aaaaaaaa")
    converter = ClaudeCodeConverter()
    trajectory = converted(converter, {other: golden.files[session], **golden.files})
    assert said_in(trajectory) == told(golden, "main")
    (beside,) = trajectory.subagent_trajectories or [trajectory]
    assert str(beside.trajectory_id).startswith("aaaaaaaa")
    assert any("more sessions" in warning for warning in converter.warnings)
    assert problems_of(trajectory) == []


def test_the_session_of_an_earlier_run_in_the_same_sandbox_is_left_out() -> None:
    golden, earlier = GOLDEN["compact"], GOLDEN["basic"]
    files = {**golden.files, session_of(earlier): earlier.files[session_of(earlier)]}
    trajectory = converted(ClaudeCodeConverter(), files)
    assert said_in(trajectory) == told(golden, "main")
    assert trajectory.subagent_trajectories is None


def test_sub_agents_within_their_parents_file_as_older_versions_wrote_them() -> None:
    golden = GOLDEN["subagent"]
    session = session_of(golden)
    side = next(path for path in golden.files if path.endswith(".jsonl") and "/subagents/" in path)
    lines, before = b"", None
    for record in map(json.loads, golden.files[side].splitlines()):
        lines += json.dumps({**record, "agentId": None, "parentUuid": before}).encode() + b"\n"
        before = record.get("uuid", before)
    trajectory = converted(ClaudeCodeConverter(), {session: golden.files[session] + lines})
    (subagent,) = trajectory.subagent_trajectories or [trajectory]
    assert said_in(subagent) == told(golden, "sub")
    assert findings_of(trajectory) == []

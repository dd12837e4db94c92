from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runs.agents.converting import convert_logs
from runs.formats.reading import parse_json
from tests.support.conversion import GOLDEN
from tests.support.factories import START, make_job, make_step, make_trajectory, make_trial
from tests.viewer.cards.making import call_step, card, html_of, steps_of
from viewer.cards import card_of, subagents_of
from viewer.cards.steps import MAX_BYTES_IN_WINDOW

WAYS = ("basic", "subagent", "compact", "tools", "results", "cut", "fatal")
FOLDERS = sorted(path.relative_to(GOLDEN).as_posix() for way in WAYS for path in GOLDEN.glob(f"*/*/{way}"))


def test_the_first_user_message_is_the_task() -> None:
    steps = steps_of(make_step(source="user", message="x"), make_step(source="user", message="y"))
    speakers = [card_of(step, before=None, subagents=subagents_of([])).speaker for step in steps]
    assert speakers == ["Task", "User"]


def test_elapsed_time_counts_from_the_step_before() -> None:
    step = steps_of(make_step(message="b", timestamp=START.isoformat()))[0]
    assert card_of(step, before=START - timedelta(seconds=2), subagents=subagents_of([])).elapsed_sec == 2.0
    assert card_of(step, before=START, subagents=subagents_of([])).elapsed_sec is None


def test_an_agents_message_is_markdown_and_its_reasoning_is_folded() -> None:
    html = html_of(steps_of(make_step(message="**Done.**", reasoning_content="I *think*."))[0])
    assert "<strong>Done.</strong>" in html
    assert '<details class="think" data-reasoning><summary>Reasoning</summary>' in html
    assert "<em>think</em>" in html


def test_a_long_system_prompt_is_folded_under_its_first_words() -> None:
    message = card(make_step(source="system", message="You are " * 200)).message
    assert message is not None
    assert message.is_folded
    assert message.label.startswith("You are You are")


def test_a_compaction_says_how_much_context_is_left() -> None:
    told = {"type": "compaction", "trigger": "auto", "tokens_before": 186_295, "tokens_after": 2_890}
    made = card(make_step(source="system", message="Continued.", extra={"context_management": told}))
    assert (made.kind, made.speaker) == ("compaction", "Context compacted")
    assert made.remarks[0].text == "Compaction of the context from 186k to 2.89k tokens (auto)"


@pytest.mark.parametrize(
    "extra",
    [
        {"api_error": {"status": 401, "attempt": 1}},
        {"is_error": True, "http_code": 401},
        {"exit_status": "AuthenticationError"},
    ],
)
def test_failures_that_the_agent_program_wrote_down_are_errors(extra: dict[str, Any]) -> None:
    made = card(make_step(source="system", message="401 invalid api key", extra=extra))
    assert (made.kind, made.speaker) == ("error", "Error")
    assert "data-error" in html_of(steps_of(make_step(source="system", message="x", extra=extra))[0])


@pytest.mark.parametrize("key", ["api_errors", "api_retries"])
def test_failed_calls_before_an_answer_are_counted_and_listed(key: str) -> None:
    made = card(make_step(message="At last.", extra={key: ["503 overloaded"] * 30}))
    assert made.kind == "agent"
    assert made.remarks[0].text == "30 failed calls of the model API"
    assert made.remarks[0].body is not None
    assert made.remarks[0].body.html.endswith("… and 18 more")


def test_an_unfinished_turn_and_a_search_at_the_provider_are_marked() -> None:
    made = card(make_step(message="x", extra={"unfinished": True, "server_web_search": True}))
    assert [(badge.text, badge.tone) for badge in made.badges] == [
        ("searched the web through the model's provider", "warn"),
        ("unfinished", "warn"),
    ]


def test_a_message_that_the_harness_wrote_is_not_a_persons() -> None:
    made = card(make_step(source="user", message="Continue.", extra={"synthetic": True}))
    assert (made.kind, made.speaker) == ("harness", "Harness")


@pytest.mark.parametrize("extra", [{"context_management": 5}, {"api_errors": "x"}, {"origin": {}}, {"api_error": []}])
def test_an_extra_of_another_shape_is_passed_over(extra: dict[str, Any]) -> None:
    assert card(make_step(message="x", extra=extra)).remarks == ()


def test_alone_a_step_shows_more() -> None:
    step = call_step("bash", {"command": "make"}, "x" * 50_000)
    within, alone = card(step).calls[0].result, card(step, is_alone=True).calls[0].result
    assert within is not None
    assert alone is not None
    assert within.missing == "48,001 characters"
    assert alone.missing == ""


@pytest.mark.parametrize(
    "step",
    [
        call_step("wide", {f"k{n}": "<&" * 3000 for n in range(40)}),
        call_step("bash", {"command": "x"}, "\x1b[31mx\x1b[32m" * 100_000),
        call_step("TodoWrite", {"todos": [{"content": "x" * 10_000, "status": "done"}] * 1_000}),
        call_step("Edit", {"file_path": "x", "old_string": "a\n" * 50_000, "new_string": "b\n" * 50_000}),
        call_step("Write", {"file_path": "x.py", "content": "<&\n" * 100_000}),
        call_step("Read", {"file_path": "x.py"}, "\n".join(f"{n}\t<&" for n in range(1, 9_000))),
        make_step(message="| a |\n|---|\n" + "| <b> |\n" * 5_000, extra={"api_errors": ["<" * 5_000] * 500}),
        make_step(tool_calls=[{"function_name": "x", "arguments": {"a": "y" * 900}}] * 900),
    ],
)
def test_no_step_is_too_much_for_a_window(step: dict[str, Any]) -> None:
    html = html_of(steps_of(step)[0])
    assert len(html.encode()) < 2 * MAX_BYTES_IN_WINDOW
    assert html.count("<") < 3_000


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_real_agents_wrote_is_shown(folder: str, tmp_path: Path) -> None:
    output = tmp_path / "trajectory.json"
    convert_logs(folder.partition("/")[0], GOLDEN / folder, output, instruction=None, model=None, pricing=None)
    document = parse_json(output.read_text())
    for each in [document, *document.get("subagent_trajectories", [])]:
        for raw in each["steps"]:
            made = card(raw)
            assert not made.is_empty or raw.get("extra") or raw.get("metrics"), raw
            assert not {"odd"} & {call.kind for call in made.calls}
        sizes = [len(html_of(step)) for step in steps_of(*each["steps"])]
        assert max(sizes) < 30_000


@pytest.mark.django_db
def test_a_subagent_is_named_with_its_first_and_last_words(django_assert_num_queries: Any) -> None:
    trial = make_trial()
    words = [("system", "You help."), ("user", "Look at it."), ("agent", "hm"), ("agent", "hm"), ("agent", "Line 9.")]
    steps = [make_step(source=source, message=message) for source, message in words]
    child = make_trajectory(trial, steps, trajectory_id="kid", agent_name="explorer", kind="subagent")
    result = {"source_call_id": "c", "content": "ok", "subagent_trajectory_ref": [{"trajectory_id": "kid"}]}
    calls = [{"tool_call_id": "c", "function_name": "Task", "arguments": {"prompt": "Look"}}]
    parent = make_trajectory(trial, [make_step(tool_calls=calls, observation={"results": [result]})] * 2)
    subagents = subagents_of([parent, child])
    with django_assert_num_queries(2):  # the steps, and the words of all sub-agents at once
        cards = [card_of(step, before=None, subagents=subagents) for step in parent.steps.all()]
    (named,) = cards[-1].calls[0].subagents
    assert (named.name, named.trajectory_pk, named.n_steps) == ("explorer", child.pk, 5)
    assert (named.first, named.first_number, named.last, named.last_number) == ("Look at it.", 2, "Line 9.", 5)


@pytest.mark.django_db
def test_images_among_the_trials_files_are_shown_and_no_others(tmp_path: Path) -> None:
    trial = make_trial(make_job(directory=str(tmp_path)))
    folder = tmp_path / trial.name / "agent" / "images"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "a.svg").write_text("<svg/>")
    (folder / "link.png").symlink_to("/etc/passwd")
    names = [
        "images/a.png",
        "/logs/agent/images/a.png",
        "/tmp/a.png",
        "images/gone.png",
        "images/a.svg",
        "images/link.png",
    ]
    names += [
        "../../a.png",
        "../../../../etc/x.png",
        "https://evil.example/p.png",
        "data:image/png;base64,AAAA",
        "\0.png",
    ]
    parts = [{"type": "image", "source": {"media_type": "image/png", "path": name}} for name in names]
    step = steps_of({"source": "agent", "message": parts}, trial=trial)[0]
    files = [image.file for image in card_of(step, before=None, subagents=subagents_of([])).images]
    assert files == ["agent/images/a.png"] * 3 + [""] * (len(names) - 3)
    html = html_of(step)
    assert html.count("<img") == 3
    assert "evil.example" in html
    assert 'src="https' not in html

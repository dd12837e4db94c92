import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from runs.models import Cause, Step, Trial
from tests.support.factories import (
    World,
    make_artifact,
    make_shell_step,
    make_step,
    make_trajectory,
    make_trial,
    make_world,
)

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def pages(client: Client, world: World) -> Client:
    client.force_login(world.owner)
    return client


def url(trial: Trial, tab: str = "trial") -> str:
    return reverse(tab, args=[trial.pk])


def html_of(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html_of(answer)))


def step_numbers(html: str) -> list[int]:
    return [int(number) for number in re.findall(r'id="step-(\d+)"', html)]


def test_the_header_says_who_how_and_why(pages: Client, world: World) -> None:
    Trial.objects.update(
        agent_name="codex", agent_version="0.52", model_name="gpt-5", sandbox="host", cost_usd=0.82,
        n_input_tokens=1_630_000, n_cache_tokens=1_548_500, n_output_tokens=9000, agent_execution_sec=242.0,
        reward=0.0, rewards={"reward": 0.0, "f2p": 0.25},
    )  # fmt: skip
    text = text_of(pages.get(url(world.trial)))
    for part in (
        "reward 0 · budget",
        "AgentTimeoutError",
        "codex 0.52",
        "gpt-5",
        "$0.82",
        "1.63M tokens in, 95 % cached",
    ):
        assert part in text
    for part in ("agent 4m 02s", "host: no isolation", "f2p 0.25", "1m 30s"):
        assert part in text


def test_the_trajectory_reads_as_a_chat(pages: Client, world: World) -> None:
    html = html_of(pages.get(url(world.trial)))
    assert step_numbers(html) == [1, 2, 3]
    assert "<code>add</code>" in html
    assert "<strong>Done.</strong>" in html
    assert "cat calculator.py" in html
    assert '<span class="tok-k">return</span> a - b' in html
    assert '<details class="think" data-reasoning>' in html
    assert "+1.0 s" in html


def test_neighbours_are_linked_in_the_order_of_the_job(pages: Client, world: World) -> None:
    before = make_trial(world.job, task_name="a-task")
    after = make_trial(world.job, task_name="z-task")
    html = html_of(pages.get(url(world.trial)))
    assert re.findall(r'href="([^"]+)" data-key="(.)"', html) == [(url(before), "["), (url(after), "]")]


def test_a_step_alone_is_whole_and_raw(pages: Client, world: World) -> None:
    long = make_trajectory(world.trial, [make_shell_step("cat x", "start" + "x" * 50_000 + "the end")])
    html = html_of(pages.get(reverse("step", args=[world.trial.pk, long.pk, 1])))
    assert html.count("the end") == 2  # the card, and its JSON
    assert "characters left out" not in html
    answer = pages.get(reverse("step-json", args=[world.trial.pk, long.pk, 1]))
    assert json.loads(answer.content)["tool_calls"][0]["function_name"] == "bash"
    assert answer["Content-Disposition"].startswith("attachment")
    assert pages.get(reverse("step", args=[world.trial.pk, long.pk, 2])).status_code == 404


def test_a_huge_step_stays_under_a_megabyte(pages: Client, world: World) -> None:
    huge = make_trajectory(world.trial, [make_shell_step("cat x", "<&\x1b[31m" * 400_000)])
    assert len(pages.get(reverse("step", args=[world.trial.pk, huge.pk, 1])).content) < 1_000_000
    assert len(pages.get(f"{url(world.trial)}?trajectory={huge.pk}").content) < 100_000


def test_a_step_of_very_many_parts_is_shown_in_part(pages: Client, world: World) -> None:
    call = {"tool_call_id": "c", "function_name": "bash", "arguments": {f"k{n}": "v" * 200 for n in range(60)}}
    wide = make_trajectory(world.trial, [make_step(tool_calls=[call] * 60)])
    html = html_of(pages.get(f"{url(world.trial)}?trajectory={wide.pk}"))
    assert len(html) < 200_000
    assert "50 more parts" in html
    assert "50 more arguments" in html
    assert len(pages.get(reverse("step", args=[world.trial.pk, wide.pk, 1])).content) < 1_000_000


def test_a_damaged_step_says_so(pages: Client, world: World) -> None:
    Step.objects.update(payload=b"junk")
    assert "cannot be shown" in html_of(pages.get(url(world.trial)))


def test_a_step_of_another_trial_is_not_found_here(pages: Client, world: World) -> None:
    other = make_trajectory(make_trial(world.job))
    assert pages.get(reverse("step", args=[world.trial.pk, other.pk, 1])).status_code == 404
    assert pages.get(f"{url(world.trial)}?trajectory={other.pk}").status_code == 404


def test_several_trajectories_have_a_switcher_and_calls_link_to_them(pages: Client, world: World) -> None:
    child = make_trajectory(world.trial, kind="subagent", trajectory_id="explore-1", agent_name="explorer")
    call = {"tool_call_id": "c", "function_name": "task", "arguments": {"description": "look around"}}
    results = [{"source_call_id": "c", "content": "x", "subagent_trajectory_ref": [{"trajectory_id": "explore-1"}]}]
    parent = make_trajectory(world.trial, [make_step(tool_calls=[call], observation={"results": results})])
    html = html_of(pages.get(f"{url(world.trial)}?trajectory={parent.pk}"))
    assert "explorer" in html
    assert f'href="{url(world.trial)}?trajectory={child.pk}"' in html


def test_a_trial_without_a_trajectory_shows_its_task_and_its_exception(
    pages: Client, world: World, tmp_path: Path
) -> None:
    task = tmp_path / "task"
    task.mkdir()
    (task / "task.toml").write_text("")
    (task / "instruction.md").write_text("Make **it** work.")
    trial = make_trial(
        world.job, task_path=str(task), reward=None, exception_type="SandboxFailed", exception_message="no engine",
        cause=Cause.INFRASTRUCTURE,
    )  # fmt: skip
    html = html_of(pages.get(url(trial)))
    assert "Make <strong>it</strong> work." in html
    assert "no engine" in html
    assert "infrastructure" in html


def test_an_instruction_behind_a_symlink_is_not_read(pages: Client, world: World, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret words")
    task = tmp_path / "task"
    task.mkdir()
    (task / "task.toml").write_text("")
    (task / "instruction.md").symlink_to(tmp_path / "secret")
    trial = make_trial(world.job, task_path=str(task))
    assert "secret words" not in html_of(pages.get(url(trial)))


def test_the_verifier_tab(pages: Client, world: World) -> None:
    text = text_of(pages.get(url(world.trial, "trial-verifier")))
    for part in ("reward 1", "1 of 1 passed", "test_add", "1.5 s", "1 passed", "verifier/ctrf.json"):
        assert part in text


@pytest.mark.parametrize("report", ["", "[", "[]", "{}", '{"results": {"tests": [1, {"name": {}}]}}', "[" * 99_999])
def test_a_broken_test_report_is_passed_over(report: str, pages: Client, world: World) -> None:
    path = Path(world.job.directory) / world.trial.name / "verifier" / "ctrf.json"
    path.write_text(report)
    assert "1 passed" in html_of(pages.get(url(world.trial, "trial-verifier")))


def test_the_verifier_of_one_step_of_a_task(pages: Client, world: World) -> None:
    Trial.objects.update(step_results=[{"step_name": "one", "verifier_result": {"rewards": {"reward": 0.5}}}])
    folder = Path(world.job.directory) / world.trial.name / "steps" / "one" / "verifier"
    folder.mkdir(parents=True)
    (folder / "test-stdout.txt").write_text("step output")
    assert "step output" in html_of(pages.get(url(world.trial, "trial-verifier") + "?step=one"))
    assert pages.get(url(world.trial, "trial-verifier") + "?step=../..").status_code == 404
    assert "0.5" in text_of(pages.get(url(world.trial)))


def test_logs_config_and_exception(pages: Client, world: World) -> None:
    assert "trial started" in html_of(pages.get(url(world.trial, "trial-logs")))
    assert "agent/oracle.txt" in html_of(pages.get(url(world.trial, "trial-logs")))
    assert "&quot;oracle&quot;" in html_of(pages.get(url(world.trial, "trial-config")))
    assert "Traceback" in html_of(pages.get(url(world.trial, "trial-exception")))
    other = make_trial(world.job)
    assert pages.get(url(other, "trial-exception")).status_code == 404
    for tab in ("trial-logs", "trial-config", "trial-verifier", "trial-artifacts"):
        assert pages.get(url(other, tab)).status_code == 200


def test_a_text_file_is_shown_with_its_colours(pages: Client, world: World) -> None:
    html = html_of(pages.get(reverse("trial-file", args=[world.trial.pk, "agent/oracle.txt"])))
    assert '<span class="ansi-green">patched</span>' in html


def test_downloads_never_run_in_the_browser(pages: Client, world: World) -> None:
    folder = Path(world.job.directory) / world.trial.name / "artifacts"
    name = 'x"\r\nX: y<svg>.html'
    (folder / name).write_text("<script>alert(1)</script>")
    answer = pages.get(reverse("trial-download", args=[world.trial.pk, f"artifacts/{name}"]))
    assert b"".join(_streamed(answer)) == b"<script>alert(1)</script>"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"] == "attachment; filename*=UTF-8''x%22%0D%0AX%3A%20y%3Csvg%3E.html"


def _streamed(answer: Any) -> Iterator[bytes]:
    assert answer.status_code == 200
    yield from answer.streaming_content


@pytest.mark.parametrize("path", ["../config.json", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "agent", "%00", "%FF"])
def test_paths_out_of_the_trial_are_not_found(path: str, pages: Client, world: World) -> None:
    for kind in ("files", "download"):
        assert pages.get(f"/trials/{world.trial.pk}/{kind}/{path}").status_code == 404


def test_artifacts_with_odd_names_have_links_that_work(pages: Client, world: World) -> None:
    name = "artifacts/a b\n<b>?#%2e.txt"
    (Path(world.job.directory) / world.trial.name / name).write_text("odd")
    make_artifact(world.trial, name)
    make_artifact(world.trial, "artifacts/lost.bin", status="missing", size_bytes=None)
    html = html_of(pages.get(url(world.trial, "trial-artifacts")))
    assert "missing" in html
    link = next(link for link in re.findall(r'href="([^"]+)"', html) if "a%20b" in link)
    assert "odd" in html_of(pages.get(link))


def test_artifacts_are_a_tree_with_pictures_and_patches_to_look_at(pages: Client, world: World) -> None:
    folder = Path(world.job.directory) / world.trial.name / "artifacts"
    (folder / "plots").mkdir(parents=True)
    (folder / "plots" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    (folder / "plots" / "b.png").write_text("no picture")
    (folder / "fix.patch").write_text("--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-old\n+new\n")
    for name in ("plots/a.png", "plots/b.png", "fix.patch"):
        make_artifact(world.trial, f"artifacts/{name}")
    html = html_of(pages.get(url(world.trial, "trial-artifacts")))
    assert re.search(r'data-depth="1"[^>]*>plots/<', html)
    assert re.search(r'data-depth="2">\s*<a [^>]*>a.png</a>', html)

    def page(name: str, query: str = "") -> str:
        return html_of(pages.get(reverse("trial-file", args=[world.trial.pk, f"artifacts/{name}"]) + query))

    image = reverse("trial-image", args=[world.trial.pk, "artifacts/plots/a.png"])
    assert f'<img src="{image}"' in page("plots/a.png")
    assert "<img" not in page("plots/b.png").partition("<main")[2]
    assert "no picture" in page("plots/b.png")
    assert "<ins" in page("fix.patch")
    assert '<pre class="diff">' not in page("fix.patch", "?as=text")
    assert "+new" in page("fix.patch", "?as=text")


def test_hostile_steps_stay_text(pages: Client, world: World) -> None:
    bad = '<img src=x onerror=alert(1)><div hx-get="/x" hx-trigger="load">\u202e\x1b]8;;http://e.x\x07'
    call = {"tool_call_id": bad, "function_name": bad, "arguments": {bad: bad, "path": bad, "n": {bad: [bad]}}}
    step = make_step(
        message=bad, reasoning_content=bad, tool_calls=[call],
        observation={"results": [{"source_call_id": bad, "content": bad}, {"content": bad}]},
    )  # fmt: skip
    trajectory = make_trajectory(
        world.trial, [step, make_shell_step(bad, bad), make_step(source="system", message=bad)]
    )
    addresses = [
        f"{url(world.trial)}?trajectory={trajectory.pk}",
        *(reverse("step", args=[world.trial.pk, trajectory.pk, n]) for n in (1, 2, 3)),
    ]
    for address in addresses:
        html = html_of(pages.get(address))
        assert "<img src=x" not in html
        assert "<div hx-get" not in html
        assert "\u202e" not in html
        assert "onerror=alert" in html  # it is there to read


def write(trial: Trial, name: str, text: str) -> None:
    path = Path(trial.job.directory) / trial.name / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_warnings_of_the_result_are_on_every_tab(pages: Client, world: World) -> None:
    warnings = ["cpus are not <b>enforced</b>", 7, "", *["again"] * 120]
    write(world.trial, "result.json", json.dumps({"warnings": warnings}))
    for tab in ("trial", "trial-verifier", "trial-logs"):
        html = html_of(pages.get(url(world.trial, tab)))
        assert "121 warnings about this run" in html
        assert "cpus are not &lt;b&gt;enforced&lt;/b&gt;" in html
        assert "The first 100; result.json has all." in html


def test_a_trial_that_was_judged_again_says_whose_work_it_is(pages: Client, world: World) -> None:
    source = make_trial(world.job, reward=0.0)
    origin = {
        "job": world.job.name,
        "trial": source.name,
        "directory": f"{world.job.directory}/{source.name}",
        "rewards": {"reward": 0.5},
        "exception_info": {"exception_type": "VerifierTimeoutError"},
    }
    write(world.trial, "result.json", json.dumps({"regraded_from": origin}))
    text = text_of(pages.get(url(world.trial)))
    assert "Judged again" in text
    assert "Reward then 0.5 (VerifierTimeoutError), now 1 (AgentTimeoutError)." in text
    link = f'<a href="{url(source)}">{source.name}</a>'
    assert link in html_of(pages.get(url(world.trial)))
    # Of a trial that the reader may not see, and of one that is not indexed, there is the name alone.
    elsewhere = make_trial(name=source.name)
    for directory in (f"{elsewhere.job.directory}/{source.name}", "/nowhere/else", ""):
        write(world.trial, "result.json", json.dumps({"regraded_from": origin | {"directory": directory}}))
        assert f"<b>{source.name}</b>" in html_of(pages.get(url(world.trial)))


@pytest.mark.parametrize("content", ["[]", "{", '{"warnings": {"a": 1}, "regraded_from": 3}', "[" * 100_000])
def test_a_strange_result_says_nothing(pages: Client, world: World, content: str) -> None:
    write(world.trial, "result.json", content)
    html = html_of(pages.get(url(world.trial)))
    assert "about this run" not in html
    assert "Judged again" not in html


def test_logs_of_services_are_on_the_logs_tab(pages: Client, world: World) -> None:
    write(world.trial, "services/db.log", "\x1b[31mready\x1b[0m <b>" + "x" * 20_000 + "the end")
    write(world.trial, "services/empty.log", "")
    write(world.trial, "services/verifier/cache.log", "warm")
    write(world.trial, "services/notes.txt", "no log")
    for n in range(20):
        write(world.trial, f"services/many-{n:02d}.log", "\x1b[31mx\x1b[32my" * 5_000)
    answer = pages.get(url(world.trial, "trial-logs"))
    html = html_of(answer)
    assert '<span class="ansi-red">ready</span> &lt;b&gt;' in html
    assert "the end" in html
    assert "wrote nothing" in html
    assert "verifier/cache" in html
    assert "notes" not in html
    assert html.count('class="service-log"') == 7
    assert len(answer.content) < 1_000_000

"""The corpus of hostile texts through every page of the site, in a real browser that tells what it did."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
from django.urls import reverse

from pier_site.accounts.models import User
from runs.models import Job, Marker, Trial
from tests.pier_site.test_permissions import GUARDED, address_of
from tests.support.browser import browser_page, sign_in
from tests.support.critiques import make_citation, make_claim, make_critique, make_rubric, make_run
from tests.support.factories import World, make_artifact, make_step, make_trajectory, make_world
from tests.support.hostile import ALL, LARGE, MARKUP, NAMES, RUN, SHORT, deep, storable
from viewer.export.page import trial_page

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request
    from pytest_django.live_server_helper import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# What an attack would leave: names of attributes that run or ask, addresses that are no page, elements that load.
TRACES = """
() => {
  const found = window.pwned ? ["a script ran"] : [];
  const loading = "iframe, object, embed, base, form[action*=evil], style, meta[http-equiv=refresh], main script";
  for (const element of document.querySelectorAll(loading)) found.push(element.outerHTML.slice(0, 200));
  for (const element of document.querySelectorAll("*")) {
    for (const { name, value } of element.attributes) {
      const address = ["href", "src", "action", "formaction", "poster", "data", "xlink:href"].includes(name);
      const asks = name.startsWith("hx-") || name.startsWith("data-hx") || name.startsWith("ws-");
      const isBad = name.startsWith("on") || (asks && /evil|pwned/.test(value))
        || (address && /^\\s*(javascript|data|vbscript):/i.test(value))
        || (address && name !== "href" && !value.startsWith("/"))
        || (name === "href" && element.getAttribute("href") === "/evil")
        || (name === "href" && /^\\s*\\/\\//.test(value));
      if (isBad) found.push(`${element.tagName} ${name}=${value.slice(0, 100)}`);
    }
  }
  return found;
}
"""
# Downloads, and what leads on to another page.
NO_PAGES = {"trial-download", "trial-image", "step-json", "trial-html", "claim"}
TOOLS = ("bash", "Edit", "MultiEdit", "Write", "Read", "Grep", "WebFetch", "WebSearch", "TodoWrite", "Task",
         "apply_patch", "str_replace_based_edit_tool", "update_plan", "view_image", "mcp__x__y", "unknown")  # fmt: skip


def hostile_arguments(tool: str, text: str) -> dict[str, Any]:
    """What makes each kind of card draw the text."""
    return {
        "command": text,
        "file_path": text,
        "old_string": f"{text}\nsame\n",
        "new_string": f"same\n{text}\n",
        "edits": [{"old_string": text, "new_string": f"{text}!"}],
        "content": text,
        "input": f"*** Begin Patch\n*** Update File: {text}\n@@ {text}\n-{text}\n+{text}!\n*** End Patch",
        "pattern": text,
        "query": text,
        "url": f"https://evil.example/{text}",
        "prompt": text,
        "todos": [{"content": text, "status": text, "activeForm": text}],
        "plan": [{"step": text, "status": "pending"}],
        text or "x": {text or "y": [text]},
    }


def hostile_steps() -> Iterator[dict[str, Any]]:
    """Each text as prose and as reasoning; every third as a call of each tool in turn, and as what came back."""
    for number, text in enumerate(ALL):
        if number % 3:
            yield make_step(message=text, reasoning_content=text, source=("user", "system")[number % 2])
            continue
        tool, shown = TOOLS[number // 3 % len(TOOLS)], text[:5000]
        yield {
            "source": "agent",
            "message": text,
            "reasoning_content": text,
            "model_name": storable(shown)[:200],
            "tool_calls": [
                {"tool_call_id": "a", "function_name": tool, "arguments": hostile_arguments(tool, shown)},
                {"tool_call_id": "b", "function_name": shown[:300] or "x", "arguments": shown},
            ],
            "observation": {
                "results": [
                    {"source_call_id": "a", "content": text},
                    {"source_call_id": "b", "content": [{"type": "image", "source": {"path": shown[:500]}}]},
                    {"content": text, "subagent_trajectory_ref": [{"trajectory_path": shown[:500]}]},
                ]
            },
        }
    yield make_step(tool_calls=[{"tool_call_id": "d", "function_name": "x", "arguments": deep(150)}])


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="surrogateescape" if "\udcff" in text else "replace")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which everything that a file or an agent can say is hostile."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    world = make_world(tmp_path)
    folder = tmp_path / "smoke" / world.trial.name
    everything = "\n".join(storable(text) for text in SHORT)
    tests = [{"name": storable(text), "status": storable(text)[:50], "message": storable(text)} for text in SHORT]
    write(folder, "trial.log", everything + LARGE[0])
    write(folder, "exception.txt", everything)
    write(folder, "agent/oracle.txt", everything)
    write(folder, "verifier/test-stdout.txt", everything)
    write(folder, "verifier/reward-details.json", json.dumps({text: text for text in SHORT}))
    write(folder, "verifier/ctrf.json", json.dumps({"results": {"tests": tests}}))
    write(folder, "config.json", json.dumps({"agent": {"name": MARKUP[0]}, "deep": deep(60)}))
    lines = [{"method": text, "host": text, "port": 443, "verdict": text, "reason": text} for text in SHORT]
    write(folder, "network.jsonl", "\n".join(json.dumps(line) for line in lines))
    write(folder, "network.json", json.dumps({text: {"allowed_hosts": [text], "network_mode": text} for text in SHORT}))
    regraded = {"job": MARKUP[0], "trial": MARKUP[1], "directory": MARKUP[2], "rewards": {MARKUP[3]: 1},
                "exception_info": {"exception_type": MARKUP[4]}}  # fmt: skip
    write(folder, "result.json", json.dumps({"warnings": [*SHORT], "regraded_from": regraded}))
    write(folder, f"services/{storable(MARKUP[0]).replace('/', chr(0x2215))[:60]}.log", everything)
    patch = "".join(f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@ {name}\n-{name}\n+{name}!\n"
                    for name in (*NAMES, *MARKUP))  # fmt: skip
    write(folder, "changes.patch", patch)
    write(folder, "artifacts/model.patch", patch)
    cast = [{"version": 2, "width": 80, "height": 24}, *([n, "o", text] for n, text in enumerate(SHORT))]
    write(folder, "agent/recording.cast", "\n".join(json.dumps(line) for line in cast))
    for number, name in enumerate(NAMES):
        make_artifact(world.trial, storable(name), source=storable(name))
        (folder / "artifacts" / storable(name).replace("/", "\u2215")[:80]).write_text(MARKUP[number])
    Path(os.fsdecode(os.fsencode(folder) + b"/artifacts/\xff\xfe.txt")).write_text("x")
    User.objects.filter(pk=world.owner.pk).update(username=MARKUP[1])
    Job.objects.update(name=MARKUP[2], agents=[storable(text) for text in SHORT[:20]], problems=list(MARKUP))
    Trial.objects.update(
        task_name=MARKUP[4][:255], agent_name=MARKUP[1], agent_version=MARKUP[2], model_name=MARKUP[0],
        sandbox=MARKUP[0][:40], exception_type=MARKUP[3], exception_message=everything, problems=list(MARKUP),
        rewards={storable(text): number for number, text in enumerate(SHORT)},
        step_results=[{"step_name": MARKUP[0], "verifier_result": {"rewards": {MARKUP[1]: MARKUP[2]}}}],
    )  # fmt: skip
    hostile = make_trajectory(
        world.trial, list(hostile_steps()), agent_name=MARKUP[1], warnings=list(MARKUP), fragment=MARKUP[0][:255]
    )
    Marker.objects.bulk_create(
        Marker(trial=world.trial, trajectory=hostile, index=number, kind=kind, label=MARKUP[number % len(MARKUP)][:200],
               url=("", f"javascript:{RUN}", "//evil.example", "https://evil.example/x")[number % 4])
        for number, kind in enumerate(Marker.Kind)
    )  # fmt: skip
    make_trajectory(
        world.trial, list(hostile_steps())[:9], agent_name=MARKUP[2], fragment=MARKUP[1][:255], kind="subagent",
        parent=hostile, task_step=MARKUP[0][:255],
    )  # fmt: skip
    make_citation(make_claim(make_critique(world.trial, run=make_run(world.job, rubric=make_rubric()))))
    world.trial.refresh_from_db()
    return world


def addresses(world: World) -> Iterator[str]:
    """Every page of the URL conf that is not a download, and the trajectory window by window."""
    yield from (address_of(name, world) for name in GUARDED if not is_elsewhere(name))
    trajectory = world.trial.trajectories.exclude(kind="subagent").last()
    assert trajectory
    for number in range(1, trajectory.n_steps, 7):
        yield f"{world.trial.get_absolute_url()}?trajectory={trajectory.pk}&at={number}"
    for number in (1, 2, 20, trajectory.n_steps):
        yield reverse("step", args=[world.trial.pk, trajectory.pk, number])
        yield reverse("trial-worktree", args=[world.trial.pk, trajectory.pk, number])
    for name in ("trial-outline", "trial-activity"):
        yield f"{reverse(name, args=[world.trial.pk])}?trajectory={trajectory.pk}"
    yield f"{world.trial.get_absolute_url()}?q={quote(MARKUP[0])}&trajectory={trajectory.pk}"
    yield f"{reverse('jobs')}?q={quote(MARKUP[2])}"
    yield f"{world.job.get_absolute_url()}?flag=history"
    for path in ("agent/oracle.txt", "verifier/ctrf.json", "artifacts/model.patch"):
        yield reverse("trial-file", args=[world.trial.pk, path])


def is_elsewhere(name: str) -> bool:
    """Downloads open no page, streams never end, the API gives JSON to programs."""
    return name.startswith("api:") or name.endswith("feed") or name in NO_PAGES


def test_no_page_runs_asks_for_or_opens_anything_that_a_text_wants(
    page: "Page", live_server: "LiveServer", world: World
) -> None:
    asked: list[str] = []

    def note(request: "Request") -> None:
        parts = urlsplit(request.url)
        is_in_a_frame = request.is_navigation_request() and request.frame != page.main_frame
        if is_in_a_frame or "evil" in parts.netloc + parts.path:
            asked.append(request.url)

    page.on("request", note)
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))  # asked for where a fragment has no head
    page.on("popup", lambda popup: asked.append(f"popup {popup.url}"))
    sign_in(page, live_server.url, world.owner)
    for address in addresses(world):
        answer = page.goto(address, wait_until="load")
        assert answer
        assert answer.status == 200, address
        assert len(answer.body()) < 1_000_000, address
        assert page.evaluate(TRACES) == [], address
        assert page.locator("main").count() == 1 or "head" in address, address
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert page.evaluate("location.pathname") == urlsplit(address).path, f"{address} led elsewhere"
    assert asked == []


def test_the_exported_page_is_as_harmless(tmp_path: Path, world: World) -> None:
    file = tmp_path / "trial.html"
    file.write_text("".join(trial_page(world.trial)), encoding="utf-8")
    asked: list[str] = []
    with browser_page("file:///") as (page, complaints):
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri(), wait_until="load")
        assert page.evaluate(TRACES.replace("style, ", "main style, ")) == []
        assert page.locator("[data-step]").count() == len(ALL) + 1 + 3 + 9
        assert page.evaluate("getComputedStyle(document.querySelector('.step .body')).borderInlineStartWidth") == "2px"
        assert not complaints
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]

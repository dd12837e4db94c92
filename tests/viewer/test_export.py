"""The page that is taken away: whole, alone, and as harmless as the site."""

import re
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.db import connections
from django.db.models import Q
from django.test import AsyncClient, Client

from pier_site.accounts import visibility
from pier_site.accounts.visibility import Hideable
from runs.errors import InputInvalid
from runs.models import Marker, Trial
from tests.support.factories import World, make_shell_step, make_step, make_trajectory, make_trial, make_world
from viewer.export.finding import find_trial
from viewer.export.offline import Offline, Section
from viewer.export.page import trial_page
from viewer.export.pictures import Pictures
from viewer.export.stylesheet import trial_stylesheet

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


@pytest.fixture
def world(db: None, tmp_path: Path) -> World:
    return make_world(tmp_path)


def page_of(trial: Trial, **limits: Any) -> str:
    return "".join(trial_page(trial, **limits))


def offline(**sections: Section) -> Offline:
    return Offline(Section("t2-", 9), {1: Section("", 100), 2: Section("t2-", 9)}, lambda _: None)


def test_the_page_has_every_step_once_and_the_result(world: World) -> None:
    page = page_of(world.trial)
    assert re.findall(r'<article[^>]* id="(step-\d+)"', page) == ["step-1", "step-2", "step-3"]
    assert "<strong>Done.</strong>" in page
    assert "cat calculator.py" in page
    assert "test_add" in page
    assert "AgentTimeoutError: too slow" in page


def test_the_page_has_the_output_of_each_tasks_step(world: World) -> None:
    folder = Path(world.job.directory) / world.trial.name / "steps" / "second" / "verifier"
    folder.mkdir(parents=True)
    (folder / "test-stdout.txt").write_text("2 passed in the second\n")
    world.trial.step_results = [{"step_name": "first"}, {"step_name": "second"}, {"step_name": "../.."}, "torn"]
    assert "2 passed in the second" in page_of(world.trial)


def test_the_page_asks_for_nothing(world: World) -> None:
    page = page_of(world.trial)
    assert not re.search(r"<(script|link|iframe|form|object|embed|base)\b", page)
    assert not re.search(r'\s(?:hx-\w+|on\w+|style)="', page)
    assert re.findall(r'(?:href|src)="(?!#)([^"]*)"', page) == []
    assert "url(" not in trial_stylesheet().text
    assert "@import" not in trial_stylesheet().text


def test_links_to_steps_lead_inside_the_page(world: World) -> None:
    other = make_trajectory(world.trial, [make_step(message="one"), make_step(message="two")])
    page = page_of(world.trial)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids)), "an id is there twice"
    assert {"step-1", "t2-step-1", "t2-step-2", "t2-trajectory"} <= set(ids)
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(ids)
    assert other.path in page


def test_what_is_beyond_the_limit_is_said_to_be_left_out(world: World) -> None:
    make_trajectory(world.trial, [make_step(message=f"message {n}") for n in range(230)])
    page = page_of(world.trial, max_steps=133)
    assert page.count("<article") == 133
    assert "100 steps beyond this page&#x27;s limit" in page or "100 steps beyond this page's limit" in page
    assert "The last 100 of 230 steps are left out here." in page


def test_a_page_that_is_full_says_where_it_ends(world: World) -> None:
    make_trajectory(world.trial, [make_shell_step("cat x", "y" * 2000) for _ in range(200)])
    page = page_of(world.trial, max_bytes=200_000)
    assert len(page) < 250_000
    assert re.search(r"The page is full: it ends before step \d+\.", page)
    assert page.rstrip().endswith("</html>")


def test_steps_are_read_in_a_fixed_number_of_queries(world: World, django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    make_trajectory(world.trial, [make_step(message=f"message {n}") for n in range(150)])
    with django_assert_max_num_queries(13):
        page_of(world.trial)


def test_the_page_has_outlines_activities_and_changes_that_lead_to_its_steps(world: World) -> None:
    path = Path(world.job.directory) / world.trial.name / "changes.patch"
    path.write_text("--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-old\n+new <b>\n")
    steps = [make_step(message="a"), make_shell_step("b", "c")]
    columns = {"kind": "subagent", "agent_name": "explorer", "parent": world.trajectory}
    child = make_trajectory(world.trial, steps, **columns)
    long = make_trajectory(world.trial, [make_step(message=f"message {n}") for n in range(400)])
    for n in range(0, 400, 2):
        Marker.objects.create(trial=world.trial, trajectory=long, index=n, kind="edit", label=f"{n}.py")
    page = page_of(world.trial)
    outline = page[page.index("<summary>Outline</summary>") :]
    assert outline.index('href="#step-2"') < outline.index("<article")
    # Groups of a long outline are there whole, and closed.
    assert 'href="#t3-step-399"' in page
    assert "398.py" in page
    assert "<details open" not in page.replace('<details class="panel" data-fold="activity" open>', "")
    assert page.count('<svg class="activity"') == 2 + 1  # two drawings and a lane
    assert re.search(r'href="#t2-step-2"[^>]*><rect data-line="slice"', page)
    assert "new &lt;b&gt;" in page
    assert 'href="#changes"' in page
    assert not re.search(r'\s(?:hx-\w+|on\w+|style)="', page)
    assert child.agent_name in page


def test_markers_of_people_are_only_in_the_pages_of_those_who_see_them(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "_rules", {})
    visibility.hide(Hideable.MARKER, lambda user: Q(kind="claim") if user == world.viewer else Q(pk__in=[]))
    for kind in ("claim", "error"):
        Marker.objects.create(trial=world.trial, trajectory=world.trajectory, index=1, kind=kind, label=f"a {kind}")
    pages = {"command": page_of(world.trial)}
    for name, user in (("owner", world.owner), ("viewer", world.viewer)):
        client.force_login(user)
        pages[name] = b"".join(client.get(f"/trials/{world.trial.pk}/export.html")).decode()
    assert {name: ("a claim" in page, "a error" in page) for name, page in pages.items()} == {
        "command": (False, True),
        "owner": (True, True),
        "viewer": (False, True),
    }


def test_a_drawing_keeps_its_lines_and_nothing_that_acts() -> None:
    html = offline().drawing(
        '<svg viewBox="0 0 9 9" onload="x"><path d="M0 0"/><a href="javascript:1" xlink:href="javascript:1">'
        '<rect x="1" onclick="x"><title>t</title></rect></a><foreignObject><img src=x></foreignObject>'
        "<script>s</script><style>a{}</style></svg>"
    )
    assert '<svg viewBox="0 0 9 9"><path d="M0 0"></path><a rel="noopener nofollow noreferrer"><rect x="1">' in html
    assert not re.search(r"script|style|onload|onclick|foreign|javascript|src", html)


@pytest.mark.parametrize(
    ("address", "leads_to"),
    [
        ("https://example.org/a", "https://example.org/a"),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("//evil.example/x", None),
        ("/trials/1/verifier/", None),
        ("?trajectory=1&at=4#step-4", "#step-4"),
        ("?trajectory=2&at=4#step-4", "#t2-step-4"),
        ("?trajectory=2&at=10#step-10", None),
        ("?trajectory=77#step-1", None),
        ("?trajectory=1", "#trajectory"),
        ("#step-3", "#t2-step-3"),
        ("http://[broken", None),
    ],
)
def test_an_address_leads_inside_the_page_or_far_away_or_nowhere(address: str, leads_to: str | None) -> None:
    html = offline().html(f'<a href="{address}">x</a>')
    found = re.search(r'href="([^"]*)"', html)
    assert (found[1] if found else None) == leads_to


def test_markup_that_could_do_something_does_not_pass() -> None:
    bad = (
        '<p onclick="x" style="a" hx-get="/" data-hx-get="/" data-x="1">a</p>'
        "<script>b</script><form><button>c</button></form>"
        '<svg onload="x"><a xlink:href="javascript:1">d</a></svg><img src="https://evil.example/p.png" alt="e">'
    )
    html = offline().html(bad)
    assert html == '<p data-x="1">a</p><img alt="e">'


def test_a_picture_of_the_trial_is_inside_the_page(world: World) -> None:
    folder = Path(world.job.directory) / world.trial.name / "agent"
    (folder / "shot.png").write_bytes(PNG)
    (folder / "page.svg").write_text("<svg onload=alert(1)></svg>")
    pictures = Pictures(world.trial)
    base = f"/trials/{world.trial.pk}/download"
    assert (pictures.data_url(f"{base}/agent/shot.png") or "").startswith("data:image/png;base64,iVBOR")
    assert pictures.data_url(f"{base}/agent/page.svg") is None
    assert pictures.data_url(f"{base}/../../../etc/passwd") is None
    assert pictures.data_url(f"/trials/{world.trial.pk + 1}/download/agent/shot.png") is None
    assert pictures.data_url("https://evil.example/shot.png") is None


def test_pictures_have_a_cap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("viewer.export.pictures.MAX_PICTURES_BYTES", 40)
    folder = Path(world.job.directory) / world.trial.name
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(PNG)
    pictures = Pictures(world.trial)
    given = [pictures.data_url(f"/trials/{world.trial.pk}/download/{name}") for name in ("a.png", "b.png", "a.png")]
    assert given[0] == given[2] != None  # noqa: E711 - the same one, and one at all
    assert given[1] is None


def test_the_button_gives_the_page_as_a_download(world: World, client: Client) -> None:
    client.force_login(world.viewer)
    answer = client.get(f"/trials/{world.trial.pk}/export.html")
    assert answer["Content-Disposition"].startswith("attachment;")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert b"".join(answer).decode().count("<article") == 3
    assert f"/trials/{world.trial.pk}/export.html" in client.get(f"/trials/{world.trial.pk}/").content.decode()


@pytest.mark.django_db(transaction=True)
async def test_under_asgi_the_page_is_sent_piece_by_piece(async_client: AsyncClient, tmp_path: Path) -> None:
    world = await sync_to_async(make_world)(tmp_path)
    await async_client.aforce_login(world.viewer)
    answer = await async_client.get(f"/trials/{world.trial.pk}/export.html")
    pieces = [piece async for piece in answer]  # type: ignore[attr-defined]
    await sync_to_async(connections.close_all)()  # those of the thread that made the pieces
    assert len(pieces) == 1 + 3 + 1
    assert b"".join(pieces).decode().count("<article") == 3


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        call_command("pierexport", "html", *map(str, arguments))
    return int(ended.value.code or 0)


def test_the_command_writes_the_file_and_replaces_none_unasked(world: World, tmp_path: Path) -> None:
    file = tmp_path / "out.html"
    assert run(world.trial.pk, "-o", file) == 0
    assert file.read_text().startswith("<!DOCTYPE html>") or "<!DOCTYPE html>" in file.read_text()[:200]
    assert run(world.trial.name, "-o", file) == 2
    assert run(Path(world.job.directory) / world.trial.name, "-o", file, "--force") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "smoke"]


def test_a_trial_is_found_by_what_people_call_it(world: World, tmp_path: Path) -> None:
    assert find_trial(world.trial.name) == world.trial
    make_trial(name=world.trial.name)
    with pytest.raises(InputInvalid, match="several trials"):
        find_trial(world.trial.name)
    with pytest.raises(InputInvalid, match="no trial"):
        find_trial("no\0where")
    with pytest.raises(InputInvalid, match="not indexed"):
        find_trial(str(tmp_path))

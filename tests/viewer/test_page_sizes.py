"""No page comes above a megabyte, however much the files of a trial say and however long it gets in HTML."""

import json
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from tests.support.factories import World, make_artifact, make_world

pytestmark = pytest.mark.django_db

MAX_BYTES = 1_000_000
# Six times as long once it is escaped, and a span at each colour.
QUOTES = '"\x1b[31m<\x1b[0m' * 200_000


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = make_world(tmp_path)
    folder = tmp_path / "smoke" / world.trial.name
    tests = [
        {"name": f'"{n}' * 100, "status": "failed", "message": '"' * 9000, "trace": "<" * 9000} for n in range(5000)
    ]
    lines = [{"method": "CONNECT", "host": f'"{n}' * 60, "port": 443, "verdict": "refused", "reason": '"' * 300}
             for n in range(9000)]  # fmt: skip
    patch = "--- a/x\n+++ b/x\n@@ -1,9000 +1,9000 @@\n" + '-"<\n+<"\n' * 90_000
    cast = "".join(json.dumps([n, "o", f'"\x1b[3{n % 8}m<' * 900]) + "\n" for n in range(2000))
    for name, text in {
        "trial.log": QUOTES,
        "exception.txt": QUOTES,
        "config.json": json.dumps({"a": ['"'] * 300_000}),
        "verifier/test-stdout.txt": QUOTES,
        "verifier/reward-details.json": QUOTES,
        "verifier/ctrf.json": json.dumps({"results": {"tests": tests[:200]}}),
        "network.jsonl": "\n".join(json.dumps(line) for line in lines),
        "network.json": json.dumps({"agent": {"network_mode": "allowlist", "allowed_hosts": ['"' * 99] * 9000}}),
        "changes.patch": patch,
        "agent/recording.cast": f'{{"version": 2, "width": 200, "height": 60}}\n{cast}',
        "artifacts/big.patch": patch,
        "result.json": json.dumps({"warnings": ['"' * 2000] * 100}),
        **{f"services/{name}.log": QUOTES for name in "abcdefghijkl"},
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for n in range(250):
        (folder / "verifier" / f"{n}{chr(34) * 200}").write_text("x")
        for step in range(5):
            (folder / f"steps/{step}/agent").mkdir(parents=True, exist_ok=True)
            (folder / f"steps/{step}/agent/{n}{chr(34) * 200}").write_text("x")
        make_artifact(world.trial, f"artifacts/{n}/" + '"/' * 400 + "x")
    make_artifact(world.trial, "artifacts/big.patch")
    world.trial.step_results = [{"step_name": str(step)} for step in range(5)]
    world.trial.problems = [{"path": '"' * 1000, "reason": '"' * 1000}] * 100
    world.trial.exception_type = "Error"
    world.trial.rewards = {'"' * 900 + str(n): n for n in range(900)}
    world.trial.save()
    return world


TABS = ("", "-verifier", "-artifacts", "-logs", "-network", "-config", "-exception", "-changes", "-recording")


@pytest.mark.parametrize("tab", TABS)
def test_no_tab_is_above_a_megabyte(tab: str, client: Client, world: World) -> None:
    client.force_login(world.owner)
    answer = client.get(reverse(f"trial{tab}", args=[world.trial.pk]))
    assert answer.status_code == 200
    assert len(answer.content) < MAX_BYTES


@pytest.mark.parametrize("path", ["trial.log", "verifier/ctrf.json", "artifacts/big.patch"])
def test_no_page_of_a_file_is_above_a_megabyte(path: str, client: Client, world: World) -> None:
    client.force_login(world.owner)
    address = reverse("trial-file", args=[world.trial.pk, path])
    assert len(client.get(address).content) < MAX_BYTES
    assert len(client.get(address, {"as": "text"}).content) < MAX_BYTES


def test_long_texts_are_left_out_with_a_word_about_it(client: Client, world: World) -> None:
    client.force_login(world.owner)
    verifier = client.get(reverse("trial-verifier", args=[world.trial.pk])).content.decode()
    assert "Too long for this page: reward-details.json" in verifier
    network = client.get(reverse("trial-network", args=[world.trial.pk])).content.decode()
    assert "more, in network.jsonl" in network
    artifacts = client.get(reverse("trial-artifacts", args=[world.trial.pk])).content.decode()
    assert "More artifacts" in artifacts

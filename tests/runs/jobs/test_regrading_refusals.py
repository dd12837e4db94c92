"""What `pierjob regrade` refuses, by name; what goes wrong on the way; and what it never touches."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from docker import DockerClient

from runs.models import Job
from tests.runs.jobs.commands import pierjob, pierrun
from tests.runs.jobs.regrades import SEPARATE, Run, regrade, results, rewards, runner
from tests.support.tasks import BASE_IMAGE, make_task

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "sk-0123456789abcdefghij"


@pytest.mark.docker
@pytest.mark.parametrize(
    ("solve", "reason"),
    [
        ("printf 'a\\0' > /opt/binary\n", "what became of /opt/binary, outside of /app, is not kept"),
        ("for i in $(seq 120); do echo $i > /opt/$i; done\n", "20 changed files were left out"),
    ],
)
def test_a_state_that_is_not_whole_is_refused_by_name(
    tmp_path: Path, docker_engine: object, solve: str, reason: str
) -> None:
    make_task(tmp_path / "set", solve=solve)
    old = runner(tmp_path, "docker")()
    code, _, err = regrade(old, to=tmp_path / "jobs")
    assert code == 2
    [trial] = [path.parent.name for path in old.glob("*/result.json")]
    assert f"{trial}: " in err
    assert reason in err
    assert not (tmp_path / "jobs/new").exists()


@pytest.mark.docker
def test_changes_outside_of_a_repository_are_counted_and_refused(tmp_path: Path, docker_engine: object) -> None:
    git = (
        f"FROM {BASE_IMAGE}\nWORKDIR /app\nRUN command -v git >/dev/null && git init -q && echo 1 > f && git add -A && "
        "git -c user.name=a -c user.email=a@b commit -qm start || mkdir -p .git\n"
    )
    make_task(tmp_path / "set", "inside", dockerfile=git)
    make_task(
        tmp_path / "set", "outside", dockerfile=git, solve="echo 1 > answer.txt; echo 1 > /opt/own; echo 1 > ~/.x\n"
    )
    old = runner(tmp_path, "docker")()
    if results(old)["inside"]["final_state"]["patch_base"] != "git":
        pytest.skip("the stand-in image has no git")
    code, out, err = regrade(old, to=tmp_path / "jobs")
    assert code == 1
    assert "the agent changed 1 files outside of /app, and they are not kept" in err
    assert out.endswith("1 regraded, 0 with another reward, 1 not regraded\n")


def test_others_are_regraded_when_one_cannot_be(tmp_path: Path, on_host: Run) -> None:
    for name in ("a", "b", "c", "d"):
        make_task(tmp_path / "set", name)
    old = on_host()
    trials = {path.name.partition("__")[0]: path for path in old.iterdir() if path.is_dir()}
    (trials["a"] / "workspace.tar.zst").unlink()
    (trials["b"] / "result.json").write_text('{"torn')
    (trials["c"] / "result.json").unlink()
    (trials["c"] / "result.json").symlink_to("/etc/passwd")
    code, out, err = regrade(old, to=tmp_path / "jobs")
    assert code == 1
    assert out.endswith("1 regraded, 0 with another reward, 3 not regraded\n")
    assert f"{trials['a']}: not regraded: its working directory was not kept, or was removed since" in err
    assert f"{trials['b']}: not regraded: its result cannot be read" in err
    assert f"{trials['c']}: not regraded: " in err
    assert rewards(tmp_path / "jobs/new") == {"d": {"reward": 1.0}}


def test_a_regraded_trial_points_to_its_source(tmp_path: Path, on_host: Run) -> None:
    make_task(tmp_path / "set")
    old = on_host()
    regrade(old, to=tmp_path / "jobs")
    code, _, err = regrade(tmp_path / "jobs/new", to=tmp_path / "jobs", name="third")
    assert code == 2
    [trial] = [path.parent for path in old.glob("*/result.json")]
    assert f"it was regraded itself: regrade {trial}" in err


def test_a_hostile_trial_reaches_no_file_of_the_machine(tmp_path: Path, on_host: Run) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    toml = SEPARATE.replace('source = "out"', 'source = "/app/out"')
    test = "#!/bin/bash\nfind / -xdev -name secret -path '*app*' | grep -q . && echo 1 > /logs/verifier/reward.txt\n"
    make_task(
        tmp_path / "set",
        toml=toml,
        test=f"{test}[ -s /logs/verifier/reward.txt ] || echo 0 > /logs/verifier/reward.txt\n",
    )
    old = on_host()
    [trial] = [path.parent for path in old.glob("*/result.json")]
    line = {"source": "/app/out", "destination": f"artifacts/{'../' * 12}{secret}", "type": "file", "status": "ok"}
    (trial / "artifacts/manifest.json").write_text(json.dumps([line]))
    (trial / "artifacts/secret").symlink_to(secret)
    (trial / "agent/link").symlink_to(tmp_path)
    assert regrade(trial, to=tmp_path / "jobs")[0] == 0
    assert rewards(tmp_path / "jobs/new") == {"write-answer": {"reward": 0.0}}
    assert not list((tmp_path / "jobs/new").rglob("secret"))
    assert not list((tmp_path / "jobs/new").rglob("link"))


def test_a_job_of_regraded_trials_is_not_gone_on_with(tmp_path: Path, on_host: Run) -> None:
    make_task(tmp_path / "set")
    on_host()
    regrade("old", to=tmp_path / "jobs")
    for command in (("resume", "-p", tmp_path / "jobs/new"), ("rerun", tmp_path / "jobs/new", "--errors")):
        code, _, err = pierjob(*command)
        assert code == 2
        assert "no agent ran in them: regrade old again" in err


def test_a_damaged_workspace_is_no_verdict_on_the_agent(tmp_path: Path, on_host: Run) -> None:
    make_task(tmp_path / "set", solve="head -c 100000 /dev/urandom > answer.txt\n")
    old = on_host()
    workspace = next(old.glob("*/workspace.tar.zst"))
    data = bytearray(workspace.read_bytes())
    data[50_000:50_100] = bytes(100)
    workspace.write_bytes(data)
    code, out, _ = regrade(old, to=tmp_path / "jobs")
    [result] = results(tmp_path / "jobs/new").values()
    assert code == 1
    assert "1 → no reward, SandboxFailed (" in out
    assert (result["exception_info"]["cause"], result["verifier_result"]) == ("infrastructure", None)
    assert "is damaged" in result["exception_info"]["exception_message"]


def test_the_agents_secrets_are_not_asked_for_and_the_verifiers_are(
    tmp_path: Path, on_host: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KEY", "sk-of-the-agent-0123456789")
    monkeypatch.setenv("JUDGE_KEY", "sk-of-the-judge-0123456789")
    make_task(tmp_path / "set", test='#!/bin/bash\n[ -n "$KEY" ] && echo 1 > /logs/verifier/reward.txt\n')
    old = on_host("-a", "nop", "--ae", "API_KEY=${AGENT_KEY}", "--ve", "KEY=${JUDGE_KEY}")
    monkeypatch.delenv("AGENT_KEY")
    assert regrade(old, to=tmp_path / "jobs")[0] == 0
    monkeypatch.delenv("JUDGE_KEY")
    code, _, err = regrade(old, to=tmp_path / "jobs", name="third")
    assert code == 2
    assert "not set: JUDGE_KEY" in err
    assert not (tmp_path / "jobs/third").exists()


def test_what_no_state_holds_is_refused(tmp_path: Path, on_host: Run) -> None:
    kept = make_task(tmp_path / "set", "kept")
    toml = kept / "task.toml"
    toml.write_text(f"{toml.read_text()}\n[metadata.pier_site]\nkeep_processes = true\n")
    several = make_task(tmp_path / "set", "several")
    old = on_host("--ve", "MODE=x")
    compose = f"services:\n  main:\n    build: .\n  web:\n    image: {BASE_IMAGE}\n"
    (several / "environment/docker-compose.yaml").write_text(compose)
    code, _, err = regrade(old, to=tmp_path / "jobs")
    assert code == 2
    assert "its task judges what runs (keep_processes), and no process is kept" in err
    assert "what its services held (web) is not kept" in err
    literal = tmp_path / "jobs/literal"
    make_task(tmp_path / "one")
    pierrun("-p", tmp_path / "one", "-o", literal.parent, "--job-name", "literal", "--ve", f"API_KEY={SECRET}")
    code, _, err = regrade(literal, to=tmp_path / "jobs")
    assert code == 2
    assert "the value of verifier.env.API_KEY was a secret and is not kept" in err


def test_a_job_without_final_states_says_so(tmp_path: Path, on_host: Run) -> None:
    make_task(tmp_path / "set")
    code, _, err = regrade(on_host("--no-final-state"), to=tmp_path / "jobs")
    assert code == 2
    assert "no final state was kept" in err


@pytest.mark.docker
def test_an_interrupted_regrade_ends_at_once_and_leaves_no_sandbox(tmp_path: Path, docker_engine: DockerClient) -> None:
    task = make_task(tmp_path / "set")
    old = runner(tmp_path, "docker")()
    (task / "tests/test.sh").write_text("#!/bin/bash\nsleep 60\n")
    interrupt = threading.Timer(0.1, interrupt_when_verifying, [tmp_path / "jobs/new"])
    interrupt.start()
    code, out, _ = regrade(old, to=tmp_path / "jobs")
    interrupt.join()
    [result] = results(tmp_path / "jobs/new").values()
    assert code == 1
    assert "1 → no reward, CancelledError (" in out
    assert Job.objects.get(name="new").status == "cancelled"
    label = f"pier-site.trial={result['trial_name']}"
    assert docker_engine.containers.list(all=True, filters={"label": label}) == []


def interrupt_when_verifying(job: Path) -> None:
    """Send this process SIGINT once the job's trial is in its verifier."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any("phase verifier" in log.read_text() for log in job.glob("*/trial.log")):
            os.kill(os.getpid(), signal.SIGINT)
            return
        time.sleep(0.05)

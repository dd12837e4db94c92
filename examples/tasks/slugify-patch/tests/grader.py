"""Apply the agent's patch to the pristine repository, run every case, write reward.json and ctrf.json.

f2p cases fail before the change and must pass after it; p2p cases pass before and must still pass.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

APP = Path("/app")
PATCH = Path("/logs/artifacts/model.patch")
VERIFIER_LOGS = Path("/logs/verifier")
CASE_TIMEOUT_SEC = 5

# Runs in a process of its own, so that the code under test never shares one with the grader.
RUN_CASE = """
import json, sys
sys.path.insert(0, "/app")
case = json.load(sys.stdin)
try:
    from textkit.slug import slugify
    outcome = {"result": slugify(case["text"], **case["options"])}
except Exception as error:
    outcome = {"raises": type(error).__name__, "message": str(error)}
json.dump(outcome, sys.stdout)
"""


def apply_patch() -> bool:
    """Apply the patch and say whether that worked; a missing or empty patch leaves the base, which is graded."""
    if not PATCH.exists() or not PATCH.read_bytes().strip():
        print("no patch: the unchanged repository is graded")
        return True
    applied = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", str(PATCH)], cwd=APP, capture_output=True, text=True, check=False
    )
    print(applied.stderr or "patch applied")
    return applied.returncode == 0


def run_case(case: dict) -> str | None:
    """Run one case; None when it passed, else why it failed."""
    request = json.dumps({"text": case["text"], "options": case.get("options", {})})
    try:
        ran = subprocess.run(
            [sys.executable, "-I", "-B", "-c", RUN_CASE],
            input=request,
            capture_output=True,
            text=True,
            timeout=CASE_TIMEOUT_SEC,
            cwd="/",
            env={"PATH": os.environ["PATH"]},
            user="nobody",
            check=False,
        )
        outcome = json.loads(ran.stdout)
    except subprocess.TimeoutExpired:
        return f"no result after {CASE_TIMEOUT_SEC} s"
    except ValueError:
        return f"the process ended with code {ran.returncode} and no result: {ran.stderr[-500:]}"
    expected = {key: case[key] for key in ("result", "raises") if key in case}
    found = {key: outcome[key] for key in ("result", "raises") if key in outcome}
    return None if found == expected else f"expected {expected}, found {outcome}"


def grade(cases: dict, *, applied: bool) -> list[dict]:
    """Every case as an entry of the CTRF report; without an applied patch none is run and all have failed."""
    tests = []
    for kind in ("f2p", "p2p"):
        for case in cases[kind]:
            started = time.monotonic()
            reason = run_case(case) if applied else "the patch does not apply"
            entry = {
                "name": f"[{kind}] {case['name']}",
                "status": "failed" if reason else "passed",
                "duration": round((time.monotonic() - started) * 1000),
            }
            if reason:
                entry["message"] = reason
            print(f"{entry['status']:6} {entry['name']}{': ' + reason if reason else ''}")
            tests.append(entry)
    return tests


def rewards_of(tests: list[dict], *, applied: bool) -> dict:
    counts = {}
    for kind in ("f2p", "p2p"):
        of_kind = [test for test in tests if test["name"].startswith(f"[{kind}]")]
        counts[f"{kind}_total"] = len(of_kind)
        counts[f"{kind}_passed"] = sum(test["status"] == "passed" for test in of_kind)
    passed = counts["f2p_passed"] + counts["p2p_passed"]
    rewards = {"reward": int(passed == len(tests)), **counts, "partial": round(passed / len(tests), 4)}
    return rewards if applied else {**rewards, "apply_failed": 1}


def ctrf_of(tests: list[dict], *, started: float) -> dict:
    passed = sum(test["status"] == "passed" for test in tests)
    summary = {"tests": len(tests), "passed": passed, "failed": len(tests) - passed}
    summary |= {
        "pending": 0,
        "skipped": 0,
        "other": 0,
        "start": round(started * 1000),
        "stop": round(time.time() * 1000),
    }
    results = {"tool": {"name": "slugify-grader"}, "summary": summary, "tests": tests}
    return {"reportFormat": "CTRF", "specVersion": "1.0.0", "results": results}


def main() -> None:
    started = time.time()
    VERIFIER_LOGS.chmod(0o755)  # nobody, who runs the code under test, may write no reward
    cases = json.loads(Path("/tests/cases.json").read_text(encoding="utf-8"))
    applied = apply_patch()
    tests = grade(cases, applied=applied)
    rewards = rewards_of(tests, applied=applied)
    (VERIFIER_LOGS / "ctrf.json").write_text(json.dumps(ctrf_of(tests, started=started), indent=2), encoding="utf-8")
    (VERIFIER_LOGS / "reward.json").write_text(json.dumps(rewards), encoding="utf-8")
    print(json.dumps(rewards))


main()

"""Compare /app/summary.json with the expected figures, one by one, and write reward.json."""

import json
from pathlib import Path


def read_summary() -> dict:
    try:
        summary = json.loads(Path("/app/summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        print(f"/app/summary.json cannot be read: {error}")
        return {}
    return summary if isinstance(summary, dict) else {}


def is_right(found: object, expected: object) -> bool:
    if isinstance(expected, str):
        return found == expected
    return isinstance(found, int | float) and not isinstance(found, bool) and abs(found - expected) < 0.0051


def main() -> None:
    expected = json.loads(Path("/tests/expected.json").read_text(encoding="utf-8"))
    summary = read_summary()
    total = passed = 0
    for sensor, figures in expected.items():
        found = summary.get(sensor)
        for name, figure in figures.items():
            value = found.get(name) if isinstance(found, dict) else None
            right = is_right(value, figure)
            total += 1
            passed += right
            print(f"{'ok  ' if right else 'FAIL'} {sensor}.{name}: expected {figure}, found {value!r}")
    extra = sorted(summary.keys() - expected.keys())
    if extra:
        print(f"FAIL sensors that do not exist: {extra}")
    rewards = {
        "reward": int(passed == total and not extra),
        "partial": round(passed / total, 4),
        "figures_total": total,
        "figures_passed": passed,
    }
    Path("/logs/verifier/reward.json").write_text(json.dumps(rewards), encoding="utf-8")


main()

"""docs/reference/causes.md says what the table of causes says."""

import re
from pathlib import Path

from runs.indexing.causes import NAMES, RULES, STEP_CAUSES
from runs.models import Cause
from runs.queries import AGENTS_OWN

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "causes.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]
YES = {"yes": True, "no": False}


def test_the_page_has_the_rules_of_every_cause() -> None:
    told = {row[0].strip("`"): (YES[row[2]], YES[row[3]]) for row in ROWS if len(row) == 5}
    assert told == {cause.value: (rule.may_be_retried, rule.reward_counts) for cause, rule in RULES.items()}
    assert set(told) == set(Cause.values)


def test_the_page_names_every_exception_under_its_cause() -> None:
    told = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in ROWS if len(row) == 2}
    assert told == {cause.value: set(names) for cause, names in NAMES.items()}
    assert all(
        f"`{name}` is the agent's time limit: its cause is `{cause}`" in PAGE for name, cause in STEP_CAUSES.items()
    )


def test_pages_and_rules_agree_on_whose_rewards_count() -> None:
    assert {cause for cause, rule in RULES.items() if rule.reward_counts} == set(AGENTS_OWN) - {""}

"""Rules on the scripts that judge: what they need from the network, and whether they always leave a reward."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runs.formats.network import NetworkMode
from runs.formats.task_directory import TASK_FILE, find_test_script, verifier_is_separate
from runs.tasks.findings import Finding, Rule, Severity
from runs.tasks.installs import host_fetched_from, install_of
from runs.tasks.shell import Command
from runs.tasks.sources import TaskSources

INSTALLS: Final = Rule("verifier-installs", "warning", "a test script that installs packages")
DOWNLOADS: Final = Rule("verifier-downloads", "warning", "a test script that fetches from the network")
NO_REWARD: Final = Rule("no-reward", "warning", "tests that never name a reward file, or one in the wrong place")
LOST_REWARD: Final = Rule(
    "reward-lost-by-set-e", "warning", "a script that `set -e` ends before it writes a reward of 0"
)
SHARED_VERIFIER: Final = Rule(
    "shared-verifier", "warning", "a verifier that works in the sandbox that the agent changed", is_default=False
)

RULES: Final = (INSTALLS, DOWNLOADS, NO_REWARD, LOST_REWARD, SHARED_VERIFIER)

_REWARD_FILE: Final = re.compile(r"\breward\.(?:txt|json)\b")
_PATH_BEFORE: Final = re.compile(r"[\w.${}/~-]*+$")
_READ_FROM: Final = "/logs/verifier/"
_MAX_PATH: Final = 200
_ANY_REWARD: Final = re.compile(r"reward|LOGS_DIR|/logs/verifier", re.IGNORECASE)


def check_network(sources: TaskSources) -> Iterator[Finding]:
    """Installs and downloads of test scripts: an error where the network they need is closed."""
    for folder in sources.test_folders():
        is_closed = sources.verifier_network(folder) is NetworkMode.CLOSED
        for script in sorted(folder.glob("*.sh")):
            for command in sources.commands(script):
                yield from _judge(sources, script, command, is_closed=is_closed)


def check_reward(sources: TaskSources) -> Iterator[Finding]:
    """Test scripts whose folder never speaks of a reward file in the place where it is read."""
    judged: set[Path] = set()
    for step in sources.stages():
        script = find_test_script(sources.task, step)
        if script is None or script in judged:
            continue
        judged.add(script)
        folders = {script.parent, sources.task.tests_dir}
        texts = [sources.text(path) or "" for folder in sorted(folders) for path in sources.files_in(folder)]
        yield from _judge_reward(sources, script, texts)
        yield from _judge_errexit(sources, script)


def check_mode(sources: TaskSources) -> Iterator[Finding]:
    """Verifiers without a sandbox of their own."""
    shared = [step for step in sources.stages() if not verifier_is_separate(sources.task, step)]
    if shared:
        names = ", ".join(step.name for step in shared if step)
        where = f" of step {names}" if names else ""
        message = f'the verifier{where} runs in the agent\'s sandbox: environment_mode = "separate" gives it its own'
        yield SHARED_VERIFIER.at(TASK_FILE, sources.lines.line_of("verifier"), message)


def _judge(sources: TaskSources, script: Path, command: Command, *, is_closed: bool) -> Iterator[Finding]:
    install, host = install_of(command), host_fetched_from(command)
    severity: Severity = "error" if is_closed and command.is_certain else "warning"
    end = ", and its network is closed" if is_closed else ": the reward depends on what is served that day"
    file = sources.relative(script)
    if install and not install.is_local:
        message = f"the verifier installs packages with `{install.tool}`{end}; put them into the image"
        yield INSTALLS.at(file, command.line, message, severity=severity)
    elif host:
        message = f"the verifier fetches from {host[:100]}{end}; put what it needs into the image or tests/"
        yield DOWNLOADS.at(file, command.line, message, severity=severity)


def _judge_reward(sources: TaskSources, script: Path, texts: list[str]) -> Iterator[Finding]:
    folders = {folder for text in texts for folder in _reward_folders(text)}
    if not folders and not any(_ANY_REWARD.search(text) for text in texts):
        message = "nothing beside this script names reward.txt or reward.json: a trial without one is a verifier error"
        yield NO_REWARD.at(sources.relative(script), None, message)
    # A relative path or a variable may well lead to the right place.
    if folders and all(folder.startswith("/") and "$" not in folder and folder != _READ_FROM for folder in folders):
        message = f"the reward file is written to {min(folders)}, and only {_READ_FROM} is read"
        yield NO_REWARD.at(sources.relative(script), None, message)


def _reward_folders(text: str) -> Iterator[str]:
    """The folder before each mention of a reward file, as it is written; empty where there is none."""
    for mention in _REWARD_FILE.finditer(text):
        before = _PATH_BEFORE.search(text, max(0, mention.start() - _MAX_PATH), mention.start())
        yield before[0] if before else ""


def _judge_errexit(sources: TaskSources, script: Path) -> Iterator[Finding]:
    """`set -e` with a later look at `$?`: the look is only reached when all went well."""
    is_on = False
    for command in sources.commands(script):
        if command.words[0] == "set":
            flags = command.words[1:]
            is_on = (is_on or any(_sets(flag, "-") for flag in flags)) and not any(_sets(flag, "+") for flag in flags)
        elif is_on and command.words[0] in ("[", "[[", "test") and "$?" in command.words:
            message = "`set -e` ends the script when the tests fail, before this line can write a reward of 0"
            yield LOST_REWARD.at(sources.relative(script), command.line, message)
            return


def _sets(flag: str, sign: str) -> bool:
    return (flag.startswith(sign) and "e" in flag[1:]) or (flag == "errexit" and sign == "-")


CHECKS: Final = (check_network, check_reward, check_mode)

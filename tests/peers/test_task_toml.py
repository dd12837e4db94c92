"""task.toml gets Harbor's verdict over a grid of tables, keys and values, or a stricter one that is named here."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runs.errors import TaskInvalid
from runs.formats.task import parse_task_toml
from tests.peers.venvs import Peer

pytestmark = pytest.mark.peers

# Each table with what it can't be without.
TABLES = {
    "[task]": "name = 'org/name'\n",
    "[agent]": "",
    "[verifier]": "",
    "[verifier.environment]": "",
    "[[verifier.collect]]": "command = 'c'\n",
    "[solution]": "",
    "[environment]": "",
    "[environment.healthcheck]": "command = 'c'\n",
    "[[environment.mcp_servers]]": "name = 'm'\nurl = 'u'\n",
    "[[steps]]": "name = 's1'\n",
}
VALUES = {
    "timeout_sec": ["1", "-1", "0", "nan", "'1'", "true"],
    "build_timeout_sec": ["0", "1.5", "inf"],
    "user": ["'a'", "1", "1.5", "true"],
    "network_mode": ["'public'", "'no-network'", "'allowlist'", "'x'", "1"],
    "allow_internet": ["true", "false", "1", "'false'"],
    "cpus": ["1", "0.5", "0", "-1", "'1'"],
    "memory_mb": ["1", "0", "1.5"],
    "memory": ["'2G'", "'2g'", "'2GB'", "'1024K'", "'2'", "' 2G '", "'1.5G'"],
    "gpus": ["0", "1", "-1"],
    "os": ["'LINUX'", "'windows'", "'mac'"],
    "name": ["'a/b'", "'a'", "'a/b/c'", "'x y'", "'a/.b'", "'con'", "'a.'"],
    "transport": ["'http'", "'sse'", "'stdio'", "'x'"],
    "url": ["'u'", "''"],
    "command": ["'x'", "''"],
    "env": ["{A = '1'}", "{A = 1}", "[]"],
    "headers": ["{Authorization = 'Bearer x'}", "{Authorization = 'Bearer ${X}'}", "{A = 'b'}"],
    "tpu": ["{type = 'v4', topology = '2x2'}", "{type = 'v4', topology = '2'}", "{type = 'v4', topology = '0x2'}"],
    "environment_mode": ["'shared'", "'separate'", "'x'"],
    "service": ["'main'", "'a b'"],
    "min_reward": ["1", "{a = 1}", "'x'", "true"],
    "artifacts": [
        *("['a']", "[{source = 'a'}]", "['../x']", "[{source = 'a', destination = '/x'}]", "['']"),
        "[{source = 'a', service = 'db'}]",
    ],
    "retries": ["1", "0", "-1"],
    "version": ["'1'", "''"],
    "description": ["'x'"],
    "docker_image": ["''", "'x'"],
}
HOSTS = [
    *("[]", "['a.b']", "['http://a']", "['*.a.b']", "['1.2.3.4/24']", "['1.2.3.0/24']", "['A.b.']", "['_x.a']"),
    *("['localhost']", "['a:80']", "['*']", "['[::1]']", "['::1']", "['']", "'a.b'"),
]
# What Harbor accepts and would fail at, or read as something else, when the trial runs.
STRICTER = re.compile(
    r"should be greater than|should be a finite number|should have at least 1 character"
    r"|allowed_hosts needs network_mode|refused, not ignored"
)


def files() -> Iterator[str]:
    """Every key with every value in every table."""
    for table, needed in TABLES.items():
        for key, values in VALUES.items():
            rest = "".join(line for line in needed.splitlines(keepends=True) if not line.startswith(f"{key} ="))
            yield from (f"{table}\n{rest}{key} = {value}\n" for value in values)
        for hosts in HOSTS:
            yield f"{table}\n{needed}allowed_hosts = {hosts}\n"
            yield f"{table}\n{needed}network_mode = 'allowlist'\nallowed_hosts = {hosts}\n"


def refusal_of(text: str) -> str | None:
    try:
        parse_task_toml(text, path=Path("task.toml"))
    except TaskInvalid as error:
        return error.reason
    return None


def test_the_verdict_on_every_file_is_harbors_or_stricter_for_a_named_reason(harbor: Peer) -> None:
    texts = list(files())
    answers = harbor.ask({"toml": text} for text in texts)
    looser, stricter = [], []
    for text, answer in zip(texts, answers, strict=True):
        refusal = refusal_of(text)
        if refusal is None and answer is not None:
            looser.append((text, answer))
        if refusal is not None and answer is None and not STRICTER.search(refusal):
            stricter.append((text, refusal))
    assert looser == []
    assert stricter == []
    assert 0.1 < sum(answer is None for answer in answers) / len(answers) < 0.95

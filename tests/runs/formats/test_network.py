"""What a task says about the network, in both spellings, phase by phase."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.errors import TaskInvalid
from runs.formats.network import CLOSED, OPEN, NetworkMode, NetworkPolicy, clean_host, resolve_network
from runs.formats.task import TaskConfig, parse_task_toml


def config_of(text: str) -> TaskConfig:
    return parse_task_toml(text, path=Path("task.toml")).config


ALLOW = NetworkPolicy(NetworkMode.ALLOWLIST, ("pypi.org",))
LISTED = 'network_mode = "allowlist"\nallowed_hosts = ["PyPI.org."]\n'
SHUT = 'network_mode = "no-network"\n'
PUBLIC = 'network_mode = "public"\n'


@pytest.mark.parametrize(
    ("text", "agent", "verifier"),
    [
        ("", OPEN, OPEN),
        ("[environment]\nallow_internet = false", CLOSED, CLOSED),
        ("[environment]\nallow_internet = true", OPEN, OPEN),
        (f"[environment]\n{SHUT}", CLOSED, CLOSED),
        (f"[environment]\n{SHUT}allow_internet = false", CLOSED, CLOSED),
        (f"[environment]\n{LISTED}", ALLOW, ALLOW),
        (f"[agent]\n{SHUT}", CLOSED, OPEN),
        (f"[environment]\nallow_internet = false\n[agent]\n{LISTED}", ALLOW, CLOSED),
        (f"[environment]\n{SHUT}[verifier]\n{PUBLIC}", CLOSED, OPEN),
        (f"[environment]\n{SHUT}[verifier.environment]\ncpus = 1", CLOSED, CLOSED),
        (f"[environment]\n{SHUT}[verifier.environment]\n{PUBLIC}", CLOSED, OPEN),
        ("[verifier.environment]\nallow_internet = false", OPEN, CLOSED),
        (f"[verifier]\n{SHUT}[verifier.environment]\n{PUBLIC}", OPEN, CLOSED),
    ],
)
def test_a_phase_takes_the_nearest_word(text: str, agent: NetworkPolicy, verifier: NetworkPolicy) -> None:
    config = config_of(text)
    assert resolve_network(config, "agent") == agent
    assert resolve_network(config, "verifier") == verifier


def test_a_steps_word_comes_before_the_tasks() -> None:
    config = config_of(
        f'[agent]\n{PUBLIC}[[steps]]\nname = "a"\nagent.network_mode = "no-network"\n[[steps]]\nname = "b"'
    )
    assert config.steps is not None
    assert [resolve_network(config, "agent", step) for step in config.steps] == [CLOSED, OPEN]


def test_a_steps_verifier_environment_comes_before_the_tasks_word() -> None:
    config = config_of(f'[verifier]\n{PUBLIC}[[steps]]\nname = "a"\n[steps.verifier.environment]\n{SHUT}')
    assert config.steps is not None
    assert resolve_network(config, "verifier", config.steps[0]) == CLOSED


@pytest.mark.parametrize(
    "text",
    [
        f"[environment]\n{SHUT}allow_internet = true",
        f"[environment]\n{PUBLIC}allow_internet = false",
        f"[environment]\n{LISTED}allow_internet = false",
        '[environment]\nallowed_hosts = ["a.org"]',
        f'[agent]\n{SHUT}allowed_hosts = ["a.org"]',
        '[agent]\nallowed_hosts = ["a.org"]',
        '[environment]\nnetwork_mode = "none"',
        '[environment]\nnetwork_mode = "No-Network"',
        '[environment]\nnetwork_mode = ""',
        "[environment]\nnetwork_mode = false",
        '[environment]\nallow_internet = "maybe"',
    ],
)
def test_contradictions_and_unknown_modes_are_errors(text: str) -> None:
    with pytest.raises(TaskInvalid):
        config_of(text)


@pytest.mark.parametrize(
    ("entry", "clean"),
    [
        ("Example.COM.", "example.com"),
        ("*.example.com", "*.example.com"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::1", "::1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_hosts_addresses_and_networks_are_accepted(entry: str, clean: str) -> None:
    assert clean_host(entry) == clean


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        "https://a.org",
        "a.org:443",
        "a.org/path",
        "a.*.org",
        "*",
        "**.org",
        "*a.org",
        "10.0.0.1/8",
        "300.1.1.1",
        "a..org",
        "-a.org",
        "ä.org",
        "a b",
        "a_b.org",
        "[::1]",
        "a" * 64 + ".org",
        "a." * 130 + "b",
        "1.2.3.4:80",
        "a.org\nb.org",
    ],
)
def test_anything_else_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="allowed host"):
        clean_host(entry)


@given(st.text())
def test_any_entry_is_cleaned_once_and_for_all_or_refused(entry: str) -> None:
    try:
        host = clean_host(entry)
    except ValueError:
        return
    assert clean_host(host) == host


def test_extra_hosts_open_a_closed_network_only_to_themselves() -> None:
    assert CLOSED.with_hosts(["api.test"]) == NetworkPolicy(NetworkMode.ALLOWLIST, ("api.test",))
    assert ALLOW.with_hosts(["api.test", "pypi.org"]).allowed_hosts == ("pypi.org", "api.test")
    assert CLOSED.with_hosts([]) == CLOSED
    assert OPEN.with_hosts(["api.test"]) == OPEN

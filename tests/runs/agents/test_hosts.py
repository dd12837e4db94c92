"""Hosts out of URLs, as entries of an allowlist."""

import pytest

from runs.agents.hosts import host_entry, hosts_in
from runs.agents.providers import Provider, runner_variables


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://endpoint.respan.ai/api/", "endpoint.respan.ai"),
        ("https://Gateway.Example.COM:8443/v1", "gateway.example.com:8443"),
        ("http://gateway.example.com:80", "gateway.example.com"),
        ("https://gateway.example.com:443/x", "gateway.example.com"),
        ("http://10.0.0.1:8000/v1", "10.0.0.1:8000"),
        ("http://[::1]:8000/v1", "[::1]:8000"),
        ("http://[::1]/v1", "::1"),
        ("https://user:word@gateway.example.com/v1", "gateway.example.com"),
        ("gateway.example.com/v1", "gateway.example.com"),
        ("gateway:8080", "gateway:8080"),
        ("localhost", "localhost"),
        ("gateway", None),
        ("", None),
        (None, None),
        ("{env:GATEWAY}", None),
        ("https://${GATEWAY}/v1", None),
        ("https://{env:GATEWAY}.example.com", None),
        ("https://", None),
        ("https://host:port/", None),
        ("https://host:99999/", None),
        ("https://exa mple.com/", None),
        ("http://[::1", None),
        ("https://*.example.com/", None),
    ],
)
def test_an_entry_is_the_urls_host_and_a_port_of_its_own(url: str | None, entry: str | None) -> None:
    assert host_entry(url) == entry


def test_urls_are_found_under_url_keys_wherever_they_stand() -> None:
    config = {
        "provider": {"a": {"options": {"baseURL": "https://a.example.com/v1"}}, "b": {"api": "https://b.example.com"}},
        "mcp": [{"url": "https://c.example.com:444"}, {"url": "https://a.example.com"}, {"url": 7}],
        "homepage": "https://nobody.example.com",
        "api_base": {"url": "https://d.example.com"},
    }
    assert hosts_in(config) == ["a.example.com", "b.example.com", "c.example.com:444", "d.example.com"]


def test_a_config_that_is_nested_without_end_is_survived() -> None:
    config: dict[str, object] = {}
    config["self"] = config
    assert hosts_in(config) == []


def test_parts_of_a_providers_host_come_from_the_environment_or_their_default() -> None:
    provider = Provider(("KEY",), ("x.{REGION:eu-1}.example.com", "{NAME}.example.com"))
    assert provider.hosts_of({}) == ["x.eu-1.example.com"]
    assert provider.hosts_of({"REGION": "us-2", "NAME": "me"}) == ["x.us-2.example.com", "me.example.com"]
    assert provider.hosts_of({"REGION": "evil.com/", "NAME": "a.b"}) == []


def test_a_base_url_goes_before_the_providers_own_host() -> None:
    provider = Provider(("KEY",), ("api.example.com",), ("API_BASE", "BASE_URL"))
    assert provider.hosts_of({"BASE_URL": "http://gateway:8080/v1"}) == ["gateway:8080"]
    assert provider.hosts_of({"BASE_URL": ""}) == ["api.example.com"]


def test_a_job_with_a_variable_of_its_own_gets_none_of_the_runners() -> None:
    provider = Provider(("KEY",), (), ("BASE",), ("EXTRA",))
    assert runner_variables([provider], {}) == {"KEY", "BASE", "EXTRA"}
    assert runner_variables([provider], {"BASE": "https://gateway"}) == set()

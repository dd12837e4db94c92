"""What an allowlist permits, and which addresses count as the internet."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.formats.network import CLOSED, clean_job_host
from runs.sandboxes.egress.rules import Allowlist, Permit, Scheme, is_public, normal_host
from runs.sandboxes.egress.variables import hosts_of_env, proxy_variables

LISTED = Allowlist(
    ["a.test", "*.wide.test", "8.8.8.8", "1.1.0.0/16", "2001:4860::/32", "gw.lan:8443", "[::1]:9", "::2"]
)
PUBLIC, NAMED = Permit(may_be_local=False), Permit(may_be_local=True)


@pytest.mark.parametrize(
    ("host", "port", "scheme", "permit"),
    [
        ("a.test", 443, "https", PUBLIC),
        ("a.test", 80, "http", PUBLIC),
        ("a.test", 80, "https", None),
        ("a.test", 443, "http", None),
        ("a.test", 22, "https", None),
        ("b.a.test", 443, "https", None),
        ("a.test.evil.test", 443, "https", None),
        ("x.wide.test", 443, "https", PUBLIC),
        ("x.y.wide.test", 443, "https", PUBLIC),
        ("wide.test", 443, "https", None),
        ("evilwide.test", 443, "https", None),
        ("8.8.8.8", 443, "https", PUBLIC),
        ("8.8.4.4", 443, "https", None),
        ("1.1.200.1", 80, "http", PUBLIC),
        ("2001:4860::5", 443, "https", PUBLIC),
        ("2001:4861::5", 443, "https", None),
        ("gw.lan", 8443, "https", NAMED),
        ("gw.lan", 8443, "http", NAMED),
        ("gw.lan", 443, "https", None),
        ("::1", 9, "http", NAMED),
        ("::2", 443, "https", PUBLIC),
    ],
)
def test_only_what_an_entry_says_is_permitted(host: str, port: int, scheme: Scheme, permit: Permit | None) -> None:
    assert LISTED.permit(host, port, scheme) == permit


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254",
        "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1",
        "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
        "64:ff9b:1::1", "2002:7f00:1::", "2001:0:7f00:1::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_in_the_internet_is_known(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_in_the_internet_is_known(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("text", "host"), [("A.Test.", "a.test"), ("[::1]", "::1"), ("[0:0::1]", "::1"), ("1.2.3.4", "1.2.3.4")]
)
def test_a_host_has_one_spelling(text: str, host: str) -> None:
    assert normal_host(text) == host


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "127.1", "2130706433", "0x7f.1", "::1", "a b", "a\n", "é.test", "[x]"]
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the reason is of no matter
        normal_host(text)


@given(st.text())
def test_any_text_is_a_host_with_one_spelling_or_refused(text: str) -> None:
    try:
        host = normal_host(text)
    except ValueError:
        return
    assert normal_host(f"[{host}]" if ":" in host else host) == host


@pytest.mark.parametrize(
    ("entry", "clean"),
    [
        ("GW.lan:8443", "gw.lan:8443"),
        ("127.0.0.1:4000", "127.0.0.1:4000"),
        ("[::1]:4000", "[::1]:4000"),
        ("*.a.test", "*.a.test"),
        ("::1", "::1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
    ],
)
def test_a_job_may_name_a_port(entry: str, clean: str) -> None:
    assert clean_job_host(entry) == clean
    assert CLOSED.with_hosts([entry]).allowed_hosts == (clean,)


@pytest.mark.parametrize("entry", ["*.a.test:443", "10.0.0.0/8:80", "a.test:0", "a.test:65536", "a.test:", "::1:80:x"])
def test_a_port_needs_one_exact_host(entry: str) -> None:
    with pytest.raises(ValueError, match="allowed host"):
        clean_job_host(entry)


def test_the_base_urls_of_an_agent_name_hosts_with_their_ports() -> None:
    env = {
        "ANTHROPIC_BASE_URL": "http://Gateway.lan:4000/v1",
        "OPENAI_API_BASE": "https://api.test/v1",
        "GEMINI_BASE_URL": "http://[::1]:99",
        "OTHER_BASE_URL": "/relative",
        "BROKEN_BASE_URL": "http://a:99999",
        "HOMEPAGE": "https://elsewhere.test",
    }
    assert hosts_of_env(env) == ["gateway.lan:4000", "api.test:443", "[::1]:99"]


def test_the_token_is_in_the_proxy_variables_in_both_spellings() -> None:
    variables = proxy_variables("t0k")
    assert variables["HTTPS_PROXY"] == variables["http_proxy"] == "http://pier:t0k@127.0.0.1:3128"
    assert variables["no_proxy"].split(",")[:2] == ["localhost", "127.0.0.1"]
    assert variables["NODE_USE_ENV_PROXY"] == "1"

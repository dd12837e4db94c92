"""What of this machine's settings goes into a stand-in image, and what never does."""

from pathlib import Path

import pytest

from pier_site.bootstrap.machine import (
    AptSource,
    apt_settings,
    debian_sources,
    is_for_images,
    npm_registry,
    pip_settings,
    read_certificates,
)

DEB822 = """# a comment
Types: deb deb-src
URIs: http://mirror.example.org/debian
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example.org/security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example.org/debian
Suites: bookworm
Components: main
"""


def test_the_machines_own_debian_mirror_is_taken() -> None:
    assert debian_sources([("debian.sources", DEB822)], "bookworm") == (
        AptSource("http://mirror.example.org/debian", ("bookworm", "bookworm-updates"), ("main",)),
        AptSource("http://mirror.example.org/security", ("bookworm-security",), ("main",)),
    )


def test_the_old_format_is_read_too() -> None:
    text = (
        "deb [arch=amd64 signed-by=/k] http://m.example.org/debian bookworm main # here\n# deb http://x bookworm main"
    )
    sources = debian_sources([("sources.list", text)], "bookworm")
    assert sources == (AptSource("http://m.example.org/debian", ("bookworm",), ("main",)),)


@pytest.mark.parametrize(
    "line",
    [
        "deb http://archive.ubuntu.com/ubuntu noble main",
        "deb http://user:secret@m.example.org/debian bookworm main",
        "deb http://127.0.0.1:3142/debian bookworm main",
        "deb file:/srv/debian bookworm main",
        "deb https://download.docker.com/linux/debian bookworm stable",
    ],
)
def test_sources_that_an_image_cannot_use_give_way_to_debians_own(line: str) -> None:
    sources = debian_sources([("sources.list", line)], "bookworm")
    assert sources[0] == AptSource("http://deb.debian.org/debian", ("bookworm", "bookworm-updates"), ("main",))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://index.example.org/packages", True),
        ("index.example.org", True),
        ("30", True),
        ("https://user:token@index.example.org/packages", False),
        ("file:///srv/wheels", False),
        ("/srv/wheels", False),
        ("~/wheels", False),
        ("http://localhost:3141/", False),
        ("http://[::1]:3141/", False),
    ],
)
def test_paths_passwords_and_loopback_stay_outside(value: str, expected: bool) -> None:
    assert is_for_images(value) is expected


def test_pips_settings_are_merged_and_cleaned(tmp_path: Path) -> None:
    weak, strong, torn = (tmp_path / name for name in ("weak", "strong", "torn"))
    weak.write_text("[global]\nindex-url = https://one.example.org/packages\nfind-links = /srv/wheels\n")
    strong.write_text(
        "[global]\nindex-url = https://two.example.org/100%/packages\n[install]\ntrusted-host = two.example.org"
    )
    torn.write_bytes(b"[global\n\xff")
    environ = {
        "PIP_EXTRA_INDEX_URL": "file:///x https://u:p@three.example.org https://four.example.org",
        "PIP_TARGET": "x",
    }
    assert pip_settings([weak, strong, torn, tmp_path / "absent"], environ) == {
        "index-url": "https://two.example.org/100%/packages",
        "trusted-host": "two.example.org",
        "extra-index-url": "https://four.example.org",
    }


def test_npms_registry_is_taken_but_not_its_token(tmp_path: Path) -> None:
    settings = tmp_path / "npmrc"
    settings.write_text("//npm.example.org/:_authToken=secret\nregistry = https://npm.example.org/\n")
    assert npm_registry([tmp_path / "absent", settings], {}) == "https://npm.example.org/"
    assert npm_registry([settings], {"NPM_CONFIG_REGISTRY": "https://u:p@npm.example.org/"}) is None


def test_only_apts_ways_to_an_archive_are_taken() -> None:
    dump = (
        'Acquire::Check-Valid-Until "false";\n'
        'Acquire::http::Proxy "http://proxy.example.org:3128/";\n'
        'Acquire::https::Proxy "http://u:p@proxy.example.org:3128/";\n'
        'Acquire::https::CaInfo "/etc/ssl/own.pem";\n'
        'APT::Architecture "amd64";\n'
    )
    assert apt_settings(dump) == (
        'Acquire::Check-Valid-Until "false";',
        'Acquire::http::Proxy "http://proxy.example.org:3128/";',
    )


def test_certificates_are_read_without_what_is_around_them(tmp_path: Path) -> None:
    one = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----"
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(f"# Some CA\n{one}\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert read_certificates(bundle) == (one,)
    assert read_certificates(tmp_path / "absent") == ()

"""Which authorities count as this machine's own: those that are set, else those that nobody else has."""

from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from pytest_django.fixtures import Settings

from runs.errors import InputInvalid
from runs.formats.job import EnvironmentConfig
from runs.sandboxes import certificates
from runs.sandboxes.certificates import authorities, certificates_in, read_certificates
from runs.trial.sandbox import sandbox_opener
from tests.support.internet import make_authority


@pytest.fixture
def machine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that trusts what everybody trusts."""
    settings.PIER_EXTRA_CA_BUNDLE = ""
    for name in certificates.MACHINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(certificates, "STORES", (certifi.where(),))
    certificates._authorities.cache_clear()
    yield
    certificates._authorities.cache_clear()


@pytest.mark.usefixtures("machine")
def test_a_machine_that_trusts_what_everybody_trusts_has_none() -> None:
    assert authorities() is None


@pytest.mark.parametrize("variable", certificates.MACHINE_VARIABLES)
@pytest.mark.usefixtures("machine")
def test_what_a_variable_of_the_runner_names_counts(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = make_authority(tmp_path).pem.decode()
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(Path(certifi.where()).read_text() + own)
    monkeypatch.setenv(variable, str(bundle))
    found = authorities()
    assert found is not None
    assert set(certificates_in("\n".join(found.private))) == set(certificates_in(own))
    assert set(certificates_in(found.bundle)) >= set(read_certificates(bundle))


@pytest.mark.usefixtures("machine")
def test_what_is_set_replaces_what_the_machine_trusts(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    one, other = make_authority(tmp_path / "one").pem, make_authority(tmp_path).pem
    for name, pem in {"one.pem": one, "other.pem": other}.items():
        (tmp_path / name).write_bytes(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "one.pem"))
    settings.PIER_EXTRA_CA_BUNDLE = str(tmp_path / "other.pem")
    found = authorities()
    assert found is not None
    assert set(certificates_in("\n".join(found.private))) == set(certificates_in(other.decode()))
    settings.PIER_EXTRA_CA_BUNDLE = "none"
    assert authorities() is None


@pytest.mark.parametrize("text", [None, "", "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n"])
@pytest.mark.usefixtures("machine")
def test_a_setting_that_names_no_certificates_is_refused(text: str | None, tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "bundle.pem"
    if text is not None:
        path.write_text(text)
    settings.PIER_EXTRA_CA_BUNDLE = str(path)
    with pytest.raises(InputInvalid, match=r"PIER_EXTRA_CA_BUNDLE: .*bundle\.pem"):
        authorities()


@pytest.mark.usefixtures("machine")
def test_a_job_does_not_begin_with_a_setting_that_would_fail_every_trial(tmp_path: Path, settings: Settings) -> None:
    settings.PIER_EXTRA_CA_BUNDLE = str(tmp_path / "no-such.pem")
    with pytest.raises(InputInvalid, match="PIER_EXTRA_CA_BUNDLE"):
        sandbox_opener(EnvironmentConfig(type="host"))


def test_one_certificate_written_in_two_ways_is_one(tmp_path: Path) -> None:
    pem = make_authority(tmp_path).pem.decode()
    begin, *lines, end = pem.strip().splitlines()
    other = "\r\n".join(["# the company's", begin, "".join(lines), end])
    assert certificates_in(pem) == certificates_in(other)

"""Node, npm and uv are taken from the registries that are set, and only if they are what was published."""

import base64
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from runs.agents import toolchains
from runs.agents.toolchains import NODE_VERSION, UV_VERSION, ToolchainUnavailable

WHEEL = "uv-test.whl"


class Registry(ThreadingHTTPServer):
    """Serves what it is given by path, and remembers who asked for what with which login."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []

    def url(self, login: str = "") -> str:
        """Its address."""
        return f"http://{login}127.0.0.1:{self.server_port}/"


class Answer(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        """Answer with the content of the path, or 404."""
        self.server.asked.append((self.path, self.headers["Authorization"]))
        content = self.server.content.get(self.path)
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def registry(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    server = Registry()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.CACHE_DIR = tmp_path
    settings.PIER_EXTRA_CA_BUNDLE = "none"
    settings.PIER_NPM_REGISTRY = settings.PIER_PYPI_INDEX = server.url()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


def package(**files: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name.replace('__', '/')}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def offer_node(registry: Registry, monkeypatch: pytest.MonkeyPatch, content: bytes, *, published: bytes) -> None:
    registry.content[f"/node-test/-/node-test-{NODE_VERSION}.tgz"] = content
    integrity = f"sha512-{base64.b64encode(hashlib.sha512(published).digest()).decode()}"
    monkeypatch.setattr(toolchains, "NODE", {"x86_64": ("node-test", integrity)})


def test_node_is_fetched_once_and_only_the_program_is_kept(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    content = package(bin__node=b"program", include__node__v8_h=b"large", LICENSE=b"words")
    offer_node(registry, monkeypatch, content, published=content)
    folder = toolchains.node("x86_64")
    assert folder == toolchains.node("x86_64")
    assert len(registry.asked) == 1
    assert (folder / "bin" / "node").read_bytes() == b"program"
    assert (folder / "bin" / "node").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["LICENSE", "node"]


def test_what_was_not_published_is_refused_and_not_kept(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_node(registry, monkeypatch, package(bin__node=b"evil"), published=package(bin__node=b"good"))
    for _ in range(2):
        with pytest.raises(ToolchainUnavailable, match=f"not what was published as node-test {NODE_VERSION}"):
            toolchains.node("x86_64")
    assert len(registry.asked) == 2


def test_a_login_goes_to_the_registry_and_into_no_message(
    registry: Registry, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PIER_NPM_REGISTRY = registry.url("me:s3cr%40t@")
    offer_node(registry, monkeypatch, b"evil", published=b"good")
    with pytest.raises(ToolchainUnavailable) as caught:
        toolchains.node("x86_64")
    assert "s3cr" not in str(caught.value)
    assert registry.asked[0][1] == f"Basic {base64.b64encode(b'me:s3cr@t').decode()}"


def test_a_registry_that_does_not_have_it_is_named_with_the_setting(registry: Registry) -> None:
    with pytest.raises(ToolchainUnavailable, match=r"127\.0\.0\.1:\d+/npm/.*404.*set PIER_NPM_REGISTRY") as caught:
        toolchains.npm()
    assert caught.value.cause == "infrastructure"
    assert len(registry.asked) == 1


def test_uv_is_taken_out_of_its_wheel_wherever_the_index_keeps_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"uv-{UV_VERSION}.data/scripts/uv", b"program")
    registry.content["/uv/"] = f'<a href="../files/{WHEEL}#sha256=0">x</a><a href="../files/no-{WHEEL}x">'.encode()
    registry.content[f"/files/{WHEEL}"] = wheel.getvalue()
    digest = hashlib.sha256(wheel.getvalue()).hexdigest()
    monkeypatch.setattr(toolchains, "UV", {"x86_64": (WHEEL, digest)})
    assert (toolchains.uv("x86_64") / "uv").read_bytes() == b"program"


def test_an_index_without_uv_is_named(registry: Registry) -> None:
    registry.content["/uv/"] = b"<html></html>"
    with pytest.raises(ToolchainUnavailable, match=r"does not list uv-.*set PIER_PYPI_INDEX"):
        toolchains.uv("x86_64")


def test_a_machine_that_no_program_is_made_for_is_refused_by_name(registry: Registry) -> None:
    with pytest.raises(ToolchainUnavailable, match="cannot be installed on riscv64"):
        toolchains.node("riscv64")
    assert registry.asked == []


def test_what_npm_and_pip_of_the_machine_use_is_used(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PIER_NPM_REGISTRY = settings.PIER_PYPI_INDEX = ""
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://npm.company.test/")
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.company.test/python")
    found = toolchains.registries()
    assert (found.npm, found.pypi) == ("https://npm.company.test/", "https://packages.company.test/python")
    settings.PIER_NPM_REGISTRY = "https://npm.other.test/"
    assert toolchains.registries().npm == "https://npm.other.test/"

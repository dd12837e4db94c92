import pytest

from runs.tasks.installs import Install, host_fetched_from, install_of, unpinned_in_requirements
from runs.tasks.shell import Command, commands_of


def command(text: str) -> Command:
    return next(commands_of(text))


def install(text: str) -> Install | None:
    return install_of(command(text))


@pytest.mark.parametrize(
    ("text", "unpinned"),
    [
        ("pip install --no-cache-dir a==1.0 b 'c>=2'", ["b", "c>=2"]),
        ("python3 -m pip install -i https://index.example a==1.*", ["a==1.*"]),
        ("pip3.11 install ./pkg . x.whl '.[test]' $DEPS", []),
        ("pip install git+https://host/a/b.git git+https://host/a/b.git@abc123", ["git+https://host/a/b.git"]),
        ("uv pip install a --system", ["a"]),
        ("uv tool install a==2", []),
        ("uvx --with pytest==8.4.1 --with ctrf pytest -x", ["ctrf"]),
        ("uvx ruff", ["ruff"]),
        ("uvx ruff@0.5.0 check", []),
        ("conda install -y -c conda-forge a=1.2 b", ["b"]),
        ("npm install -g @scope/a @scope/b@1.2.3 c@latest d@^1.0.0", ["@scope/a", "c@latest", "d@^1.0.0"]),
        ("npx cowsay@1.6.0 hello", []),
        ("yarn global add a", ["a"]),
        ("npm ci", []),
        ("apt-get install -y --no-install-recommends git curl=7.88", ["git"]),
        ("apk add --virtual .deps gcc", ["gcc"]),
        ("go install example.com/x@latest", ["example.com/x@latest"]),
        ("go install example.com/x@v1.0.0", []),
        ("cargo install --version 1.2.3 ripgrep", []),
        ("cargo install ripgrep", ["ripgrep"]),
        ("gem install rake -v 13", []),
    ],
)
def test_packages_without_a_version_are_named(text: str, unpinned: list[str]) -> None:
    found = install(text)
    assert found is not None
    if text.startswith("gem"):  # the version follows as a word of its own
        assert "rake" not in found.unpinned
    else:
        assert list(found.unpinned) == unpinned


@pytest.mark.parametrize(
    "text", ["pip list", "npm test", "apt-get update", "go build", "uv run x.py", "echo pip install"]
)
def test_other_commands_install_nothing(text: str) -> None:
    assert install(text) is None


@pytest.mark.parametrize("text", ["pip install --no-index -f /wheels a", "pip install .", "apt-get install -y ./a.deb"])
def test_an_install_from_local_files_is_local(text: str) -> None:
    found = install(text)
    assert found is not None
    assert found.is_local


def test_requirements_files_are_named() -> None:
    found = install("pip install -r requirements.txt --requirement=more.txt")
    assert found is not None
    assert found.requirements == ("requirements.txt", "more.txt")
    assert not found.is_local


def test_requirements_without_a_version_are_found() -> None:
    text = "# tools\na==1\nb>=2 # why\n-e .\n-r other.txt\nc\nd==1 --hash=sha256:00\n"
    assert list(unpinned_in_requirements(text)) == [(3, "b>=2"), (6, "c")]


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("curl -LsSf https://astral.sh/uv/install.sh", "astral.sh"),
        ("wget http://user:pw@example.com:80/x", "example.com"),
        ("git clone https://github.com/a/b", "github.com"),
        ("curl http://localhost:8000/health", None),
        ("curl http://127.0.0.1/", None),
        ("curl http://web:8000/", None),
        ("git diff https://example.com", None),
        ("echo https://example.com", None),
    ],
)
def test_downloads_name_their_host(text: str, host: str | None) -> None:
    assert host_fetched_from(command(text)) == host

"""What an agent needs, as data: exact versions, plain names, one digest for one content."""

from dataclasses import replace

import pytest

from runs.agents.install import Install, Npm, Script, Uv, cli_path

CODEX = Install("codex", "0.169.0", Npm(("@openai/codex@0.169.0",)), clis=("codex",), programs=("git", "rg"))


@pytest.mark.parametrize(
    "package",
    [
        "codex",
        "codex@latest",
        "codex@^1.0.0",
        "codex@1; rm -rf /",
        "--registry=http://evil.test",
        "@a/b/c@1.0.0",
        "x@ 1",
    ],
)
def test_an_npm_package_without_its_exact_version_is_refused(package: str) -> None:
    with pytest.raises(ValueError, match="does not name a package and its exact version"):
        Install("codex", "1", Npm((package,)), clis=("codex",))


@pytest.mark.parametrize("package", ["tool", "tool>=1", "tool==1.*", "-r evil.txt", "tool @ https://evil.test/x.whl"])
def test_a_python_package_without_its_exact_version_is_refused(package: str) -> None:
    with pytest.raises(ValueError, match="does not name a package and its exact version"):
        Install("tool", "1", Uv((package,)), clis=("tool",))


@pytest.mark.parametrize("version", ["", "3", "2.7", "3.11.2", ">=3.11", "3.x; true"])
def test_a_python_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="is not a version of Python"):
        Install("tool", "1", Uv(("tool==1",), python=version), clis=("tool",))


def test_pinned_packages_with_scopes_extras_and_epochs_are_taken() -> None:
    assert Install("a", "1", Npm(("@x/y@1.0.0-beta.2", "z@0.1.0")), clis=("y",)).digest()
    assert Install("a", "1", Uv(("litellm[proxy]==1.106.2", "x==1!2.0.post1")), clis=("y",)).digest()


@pytest.mark.parametrize("name", ["", "a b", "a/b", "$(x)", "-x", "a\nb"])
def test_a_name_that_a_shell_could_take_for_more_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        replace(CODEX, clis=(name,))
    with pytest.raises(ValueError, match="cannot be the name"):
        replace(CODEX, programs=(name,))


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x"])
def test_a_file_outside_of_the_prefix_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not a path below /opt/pier"):
        replace(CODEX, files={path: ""})


def test_the_digest_changes_with_anything_that_changes_the_outcome() -> None:
    others = [
        replace(CODEX, version="0.170.0"),
        replace(CODEX, method=Npm(("@openai/codex@0.170.0",))),
        replace(CODEX, method=Npm(("@openai/codex@0.169.0",), runs_scripts=True)),
        replace(CODEX, method=Script("@openai/codex@0.169.0")),
        replace(CODEX, clis=("codex", "other")),
        replace(CODEX, programs=("git",)),
        replace(CODEX, files={"etc/x": "1"}),
        replace(CODEX, files={"etc/x": "2"}),
        replace(CODEX, commands=("true",)),
    ]
    assert len({one.digest() for one in (CODEX, *others)}) == len(others) + 1
    assert replace(CODEX).digest() == CODEX.digest()


def test_the_order_of_files_does_not_change_the_digest() -> None:
    one, other = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert replace(CODEX, files=one).digest() == replace(CODEX, files=other).digest()


def test_programs_are_called_by_their_whole_path() -> None:
    assert cli_path("codex") == "/opt/pier/bin/codex"

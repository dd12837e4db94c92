"""Files of a container by its root directory: nothing leads out of it, and what is not plain is left to the engine."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runs.sandboxes.archive import archive_of, archive_of_folders
from runs.sandboxes.docker_root import MAX_BYTES, MAX_MEMBERS, ContainerRoot, NotPlain
from runs.sandboxes.extraction import SourceMissing, extract


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """The folder that stands for a container's root; `outside` lies beside it."""
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    return tmp_path / "root"


@pytest.fixture
def root(inside: Path) -> Iterator[ContainerRoot]:
    opened = ContainerRoot(os.open(inside, os.O_PATH | os.O_DIRECTORY))
    yield opened
    opened.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "run.sh").write_text("echo ran")
    (folder / "sub" / "data").write_bytes(bytes(range(256)))
    (folder / "link").symlink_to("run.sh")
    return folder


def test_an_archive_is_laid_out_as_the_engine_would(root: ContainerRoot, inside: Path, source: Path) -> None:
    (inside / "tests").mkdir()
    (inside / "tests" / "link").write_text("in the way")
    with archive_of(source, "/tests/deep") as archive:
        root.put(archive)
    with archive_of(source, "/tests") as archive:
        root.put(archive)
    assert os.access(inside / "tests" / "run.sh", os.X_OK)
    assert (inside / "tests" / "deep" / "sub" / "data").read_bytes() == bytes(range(256))
    assert (inside / "tests" / "link").readlink() == Path("run.sh")


def test_folders_get_their_modes_also_when_they_are_there(root: ContainerRoot, inside: Path) -> None:
    (inside / "logs" / "agent").mkdir(parents=True)
    root.put(archive_of_folders(["/logs/agent", "/logs/verifier"]))
    assert {path.stat().st_mode & 0o777 for path in (inside / "logs").iterdir()} == {0o777}


def test_the_runners_umask_says_nothing_about_the_files_of_a_container(
    root: ContainerRoot, inside: Path, source: Path
) -> None:
    mask = os.umask(0o077)
    try:
        with archive_of(source, "/opt/deep/tests") as archive:
            root.put(archive)
        root.empty(["/new/logs"])
    finally:
        os.umask(mask)
    modes = {path.relative_to(inside).as_posix(): path.stat().st_mode & 0o777 for path in inside.rglob("*")}
    assert (modes["opt"], modes["opt/deep"], modes["new"], modes["new/logs"]) == (0o755, 0o755, 0o755, 0o777)
    assert modes["opt/deep/tests/sub/data"] == (source / "sub" / "data").stat().st_mode & 0o777


def test_a_planted_link_is_replaced_and_never_written_through(root: ContainerRoot, inside: Path, source: Path) -> None:
    (inside / "solution").mkdir()
    (inside / "solution" / "run.sh").symlink_to("../../outside/secret")
    with archive_of(source, "/solution") as archive:
        root.put(archive)
    assert (inside / "solution" / "run.sh").read_text() == "echo ran"
    assert (inside.parent / "outside" / "secret").read_text() == "secret"


@pytest.mark.parametrize("target", ["/tests", "/tests/sub", "/file/sub", "/", "/../outside", "/logs/../../outside"])
def test_what_a_link_a_file_or_dots_stand_in_the_way_of_is_left_to_the_engine(
    root: ContainerRoot, inside: Path, source: Path, target: str
) -> None:
    (inside / "tests").symlink_to("../outside")
    (inside / "file").write_text("x")
    with archive_of(source, target) as archive, pytest.raises(NotPlain):
        root.put(archive)
    with pytest.raises(NotPlain):
        root.tar_of(target)
    assert [path.name for path in (inside.parent / "outside").iterdir()] == ["secret"]


def test_what_comes_out_is_what_went_in(root: ContainerRoot, source: Path, tmp_path: Path) -> None:
    with archive_of(source, "/srv/app") as archive:
        root.put(archive)
    done = extract([root.tar_of("/srv/app")], tmp_path / "out")
    assert (done.is_directory, done.n_files) == (True, 2)
    assert [refused.reason for refused in done.refused] == ["it is a link to run.sh"]
    assert os.access(tmp_path / "out" / "run.sh", os.X_OK)
    single = extract([root.tar_of("/srv/app/sub/data")], tmp_path / "single")
    assert not single.is_directory
    assert (tmp_path / "single").read_bytes() == bytes(range(256))


def test_names_that_are_no_text_come_out(root: ContainerRoot, inside: Path) -> None:
    folder = inside / "logs"
    folder.mkdir()
    names = {b"caf\xe9", b"new\nline", "\u202e.txt".encode(), b"x" * 255}
    for name in names:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()
    with tarfile.open(fileobj=io.BytesIO(root.tar_of("/logs"))) as tar:
        assert {os.fsencode(name) for name in tar.getnames()} == {b"logs", *(b"logs/" + name for name in names)}


def test_pipes_and_devices_are_named_and_never_opened(root: ContainerRoot, inside: Path) -> None:
    (inside / "logs").mkdir()
    os.mkfifo(inside / "logs" / "pipe")
    with tarfile.open(fileobj=io.BytesIO(root.tar_of("/logs"))) as tar:
        assert {member.name: member.isfifo() for member in tar} == {"logs": False, "logs/pipe": True}


def test_a_missing_source_is_told_from_one_that_is_not_plain(root: ContainerRoot) -> None:
    with pytest.raises(SourceMissing, match="/logs/none does not exist"):
        root.tar_of("/logs/none")


def test_much_is_left_to_the_engine(root: ContainerRoot, inside: Path) -> None:
    for name in ("many", "large", "linked"):
        (inside / name).mkdir()
    for number in range(MAX_MEMBERS + 1):
        (inside / "many" / str(number)).touch()
    with (inside / "large" / "sparse").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    (inside / "linked" / "one").touch()
    (inside / "linked" / "two").hardlink_to(inside / "linked" / "one")
    for name in ("many", "large", "linked"):
        with pytest.raises(NotPlain):
            root.tar_of(f"/{name}")
    with pytest.raises(NotPlain):
        root.empty(["/many"])
    assert len(list((inside / "many").iterdir())) == MAX_MEMBERS + 1


def test_folders_are_emptied_and_links_in_their_places_go(root: ContainerRoot, inside: Path) -> None:
    (inside / "logs" / "verifier" / "deep").mkdir(parents=True)
    (inside / "logs" / "verifier" / "deep" / "reward.txt").write_text("1")
    (inside / "logs" / "verifier" / "out").symlink_to("../../../outside")
    (inside / "tests").symlink_to("../outside")
    root.empty(["/logs/verifier", "/tests", "/new"])
    for folder in (inside / "logs" / "verifier", inside / "tests", inside / "new"):
        assert not folder.is_symlink()
        assert (list(folder.iterdir()), folder.stat().st_mode & 0o777) == ([], 0o777)
    assert (inside.parent / "outside" / "secret").exists()


def test_nothing_is_done_by_a_root_that_was_closed(root: ContainerRoot, source: Path) -> None:
    root.close()
    root.close()
    with archive_of(source, "/tests") as archive, pytest.raises(NotPlain):
        root.put(archive)
    with pytest.raises(NotPlain):
        root.tar_of("/tests")

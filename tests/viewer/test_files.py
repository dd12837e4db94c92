import os
from pathlib import Path

import pytest

from runs.models import Job, Trial
from viewer.files import FileMissing, list_files, looks_binary, open_file, picture_type, read_text


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    directory = tmp_path / "job" / "trial"
    (directory / "agent").mkdir(parents=True)
    (directory / "agent" / "log.txt").write_text("hello")
    (tmp_path / "job" / "secret").write_text("secret")
    return Trial(name="trial", job=Job(directory=str(tmp_path / "job")))


def directory_of(trial: Trial) -> Path:
    return Path(trial.job.directory) / trial.name


def test_a_file_is_read(trial: Trial) -> None:
    file = read_text(trial, "agent/log.txt")
    assert file is not None
    assert (file.head, file.tail, file.missing_bytes, file.size_bytes) == ("hello", "", 0, 5)


@pytest.mark.parametrize(
    "path", ["../secret", "agent/../../secret", "/etc/passwd", "..", ".", "", "agent", "agent/log.txt\0", "a\ud800"]
)
def test_nothing_outside_or_odd_is_opened(path: str, trial: Trial) -> None:
    with pytest.raises(FileMissing):
        open_file(trial, path)
    assert read_text(trial, path) is None


def test_symlinks_are_not_followed_wherever_they_are(trial: Trial) -> None:
    directory = directory_of(trial)
    (directory / "link").symlink_to(directory.parent / "secret")
    (directory / "inside").symlink_to("agent/log.txt")
    (directory / "folder").symlink_to(directory.parent)
    (directory.parent / "other").symlink_to(directory)
    for path in ("link", "inside", "folder/secret"):
        assert read_text(trial, path) is None
    trial.name = "other"
    assert read_text(trial, "agent/log.txt") is None


def test_a_pipe_neither_blocks_nor_opens(trial: Trial) -> None:
    os.mkfifo(directory_of(trial) / "pipe")
    with pytest.raises(FileMissing):
        open_file(trial, "pipe")


def test_a_long_file_keeps_head_and_tail(trial: Trial) -> None:
    (directory_of(trial) / "big").write_bytes(b"a" * 50 + b"b" * 900 + b"c" * 50)
    file = read_text(trial, "big", head=50, tail=50)
    assert file is not None
    assert (file.head, file.tail, file.missing_bytes) == ("a" * 50, "c" * 50, 900)


def test_bytes_that_are_not_text_are_replaced(trial: Trial) -> None:
    (directory_of(trial) / "bin").write_bytes(b"\xff\xfe\0\x01" * 100)
    file = read_text(trial, "bin")
    assert file is not None
    assert looks_binary(file)


def test_listing_is_sorted_bounded_and_without_links(trial: Trial) -> None:
    directory = directory_of(trial)
    for n in range(9):
        (directory / "agent" / f"{n}.txt").write_text("x" * n)
    (directory / "agent" / "deep").mkdir()
    (directory / "agent" / "deep" / "er").mkdir()
    (directory / "agent" / "deep" / "er" / "lost.txt").write_text("")
    (directory / "agent" / "passwd").symlink_to("/etc/passwd")
    names = [entry.path for entry in list_files(trial, "agent")]
    assert names == [*(f"agent/{n}.txt" for n in range(9)), "agent/log.txt"]
    assert len(list_files(trial, "agent", limit=3)) == 3
    assert list_files(trial, "../..") == []
    assert list_files(trial, "nowhere") == []


def test_a_name_that_is_not_utf8_is_listed_but_has_no_address(trial: Trial) -> None:
    (directory_of(trial) / "agent" / "bad\udcff.txt").write_text("x")
    assert [entry.can_be_named for entry in list_files(trial, "agent")] == [False, True]


def test_kinds_of_pictures_are_known_by_their_first_bytes() -> None:
    assert picture_type(b"RIFF\0\0\0\0WEBPVP8 ") == "image/webp"
    assert picture_type(b"\xff\xd8\xff\xe0") == "image/jpeg"
    assert picture_type(b"<svg></svg>") is None

"""What may come out of a sandbox, and what is refused."""

import io
import tarfile
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.errors import SandboxFailed
from runs.sandboxes.extraction import ExtractionLimitReached, ExtractionLimits, extract

MB = 1024 * 1024


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> list[bytes]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return [stream.getvalue()]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def test_a_directory_comes_out_without_its_own_name(tmp_path: Path) -> None:
    chunks = archive(
        (member("logs", tarfile.DIRTYPE), b""),
        (member("logs/a.txt"), b"one"),
        (member("logs/deep/b.sh", mode=0o755), b"two"),
    )
    done = extract(chunks, tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_bytes() == b"one"
    assert (tmp_path / "out" / "deep" / "b.sh").stat().st_mode & 0o100
    assert (done.is_directory, done.n_files, done.size_bytes, done.refused) == (True, 2, 6, [])


def test_a_single_file_becomes_the_target_itself(tmp_path: Path) -> None:
    done = extract(archive((member("reward.txt"), b"1")), tmp_path / "new" / "name.txt")
    assert (tmp_path / "new" / "name.txt").read_text() == "1"
    assert not done.is_directory


@pytest.mark.parametrize(
    "hostile",
    [
        member("../escape"),
        member("logs/../../escape"),
        member("/etc/escape"),
        member("logs/link", tarfile.SYMTYPE, "/etc/passwd"),
        member("logs/hard", tarfile.LNKTYPE, "../../etc/passwd"),
        member("logs/pipe", tarfile.FIFOTYPE),
        member("logs/device", tarfile.CHRTYPE),
        member("logs/" + "d/" * 70 + "deep"),
        member("logs/" + "n" * 300),
    ],
    ids=lambda info: f"{info.type.decode()}-{info.name[:20]}",
)
def test_a_hostile_member_is_refused_and_listed_and_the_rest_comes_out(
    tmp_path: Path, hostile: tarfile.TarInfo
) -> None:
    target = tmp_path / "deep" / "er" / "out"
    done = extract(archive((hostile, b""), (member("logs/good.txt"), b"good")), target)
    assert [refused.name for refused in done.refused] == [hostile.name]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["good.txt"]


def test_a_file_inside_what_was_a_file_is_refused_not_fatal(tmp_path: Path) -> None:
    done = extract(archive((member("logs/a"), b"1"), (member("logs/a/b"), b"2"), (member("logs/c"), b"3")), tmp_path)
    assert [refused.name for refused in done.refused] == ["logs/a/b"]
    assert (tmp_path / "c").read_text() == "3"


def test_a_member_never_writes_through_a_link_that_was_there_before(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("untouched")
    target = tmp_path / "out"
    target.mkdir()
    (target / "a.txt").symlink_to(outside)
    extract(archive((member("logs/a.txt"), b"hostile")), target)
    assert outside.read_text() == "untouched"
    assert (target / "a.txt").read_text() == "hostile"


def test_too_many_bytes_stop_the_extraction(tmp_path: Path) -> None:
    with pytest.raises(ExtractionLimitReached):
        extract(archive((member("logs/big"), b"x" * 2000)), tmp_path, limits=ExtractionLimits(size_bytes=1000))


def test_too_many_members_stop_the_extraction(tmp_path: Path) -> None:
    many = [(member(f"logs/{number}"), b"") for number in range(20)]
    with pytest.raises(ExtractionLimitReached):
        extract(archive(*many), tmp_path, limits=ExtractionLimits(members=10))


def test_a_terabyte_is_refused_by_its_announcement_and_an_archive_without_end_is_left(tmp_path: Path) -> None:
    taken = 0

    def endless(first: bytes, then: bytes) -> Iterator[bytes]:
        nonlocal taken
        taken = 0
        for chunk in chain([first], repeat(then)):
            taken += len(chunk)
            yield chunk

    huge = member("logs/big")
    huge.size = 1024**4
    with pytest.raises(ExtractionLimitReached, match="bytes to copy"):
        extract(endless(huge.tobuf(tarfile.GNU_FORMAT), bytes(1024**2)), tmp_path)
    assert taken < 8 * 1024**2
    empty = member("logs/same").tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(ExtractionLimitReached, match="files to copy"):
        extract(endless(empty, empty), tmp_path, limits=ExtractionLimits(members=2000))
    assert taken < 4 * 1024**2
    assert [path.name for path in tmp_path.iterdir()] == ["same"]


def test_five_thousand_folders_below_one_another_are_refused_at_little_memory(tmp_path: Path) -> None:
    deep = "logs/" + "/".join(["d"] * 5_000) + "/end"
    chunks = archive((member("logs", tarfile.DIRTYPE), b""), (member(deep), b"x"), (member("logs/kept"), b"y"))
    tracemalloc.start()
    try:
        done = extract(chunks, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 100 * MB
    finally:
        tracemalloc.stop()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["kept"]
    assert [refused.reason for refused in done.refused]


def test_an_archive_of_endless_zeros_takes_little_memory(tmp_path: Path) -> None:
    info = member("logs/zeros")
    info.size = 512 * MB
    head = info.tobuf(tarfile.PAX_FORMAT)
    tracemalloc.start()
    try:
        with pytest.raises(ExtractionLimitReached):
            extract(
                chain([head], repeat(bytes(MB), 512)), tmp_path / "out", limits=ExtractionLimits(size_bytes=64 * MB)
            )
        assert tracemalloc.get_traced_memory()[1] < 100 * MB
    finally:
        tracemalloc.stop()


def test_excluded_names_stay_behind(tmp_path: Path) -> None:
    members = [(member(f"app/{name}"), b"") for name in ("keep.py", "skip.pyc", "node_modules/x.js", "src/skip.pyc")]
    extract(archive(*members), tmp_path, exclude=["*.pyc", "node_modules"])
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["keep.py"]


def test_a_torn_archive_is_the_sandboxs_failure(tmp_path: Path) -> None:
    [whole] = archive((member("logs/a.txt"), b"x" * 5000))
    with pytest.raises(SandboxFailed):
        extract([whole[:2000]], tmp_path)


@given(st.binary(max_size=3000), st.integers(1, 700))
@settings(deadline=None)
def test_no_bytes_make_the_extractor_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int
) -> None:
    [whole] = archive((member("logs/a.txt"), b"x" * 600))
    broken = whole[:cut] + data + whole[cut:]
    pieces = [broken[start : start + 97] for start in range(0, len(broken), 97)]
    with suppress(SandboxFailed):
        extract(pieces, tmp_path_factory.mktemp("out"))

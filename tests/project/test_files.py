"""Files are replaced atomically, with the wanted permissions, also by several threads at once."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlhf_course.files import atomic_write, file_lock, write_text


def test_a_file_is_replaced_as_a_whole_and_no_temporary_file_is_left(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old" and temporary.parent == path.parent
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]


def test_a_block_that_raises_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path, mode=0o600) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_temporary_files_of_one_path_have_different_names(tmp_path):
    with atomic_write(tmp_path / "a.txt", 0o600) as first, atomic_write(tmp_path / "a.txt", 0o600) as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_without_a_mode_the_umask_decides_and_with_one_the_file_is_never_wider(tmp_path, umask):
    previous = os.umask(umask)
    try:
        write_text(tmp_path / "default.txt", "text")
        with atomic_write(tmp_path / "private.txt", mode=0o600) as temporary:
            assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
            temporary.write_text("text")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "default.txt").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "private.txt").stat().st_mode) == 0o600


def test_threads_that_write_one_file_at_once_never_leave_a_mixture(tmp_path):
    path, texts = tmp_path / "a.txt", [str(number) * 1000 for number in range(10)]

    def write_and_read(text: str) -> str:
        write_text(path, text)
        return path.read_text()

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(write_and_read, texts * 20)) <= set(texts)
    assert os.listdir(tmp_path) == ["a.txt"]


def test_text_is_written_in_utf_8_with_its_own_line_ends(tmp_path):
    write_text(tmp_path / "a.txt", "é\r\nb\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\r\nb\n".encode()


def test_a_lock_that_is_held_is_not_acquired_twice(tmp_path):
    from filelock import Timeout

    with file_lock(tmp_path / "lock"), pytest.raises(Timeout), file_lock(tmp_path / "lock", timeout=0.05):
        pass

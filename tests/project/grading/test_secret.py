"""A course's secret is made once, read by its owner alone, and named in results by a fingerprint only."""

import stat

import pytest

from rlhf_course.errors import CourseError
from rlhf_course.grading.secret import PUBLIC, Secret, create_secret, read_or_create_secret, read_secret


def test_a_new_secret_is_random_readable_by_its_owner_alone_and_read_back(tmp_path):
    first, second = create_secret(tmp_path / "data/secret"), create_secret(tmp_path / "other")
    assert len(first.key) == 32 and first != second
    assert stat.S_IMODE((tmp_path / "data/secret").stat().st_mode) == 0o600
    assert read_secret(tmp_path / "data/secret") == first == read_or_create_secret(tmp_path / "data/secret")


def test_a_secret_is_never_overwritten(tmp_path):
    secret = create_secret(tmp_path / "secret")
    with pytest.raises(CourseError, match="cannot be written"):
        create_secret(tmp_path / "secret")
    assert read_secret(tmp_path / "secret") == secret


@pytest.mark.parametrize("content", [b"", b"abc\n", b"z" * 64, b"0" * 66])
def test_a_file_without_a_secret_is_named_with_what_a_secret_is(tmp_path, content):
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(CourseError, match="holds no secret, which is a line of 64 hexadecimal digits"):
        read_secret(tmp_path / "secret")


def test_a_secret_that_others_may_read_is_refused_with_what_to_do(tmp_path):
    create_secret(tmp_path / "secret")
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(CourseError, match="run `chmod 600"):
        read_secret(tmp_path / "secret")


def test_neither_repr_nor_fingerprint_show_the_key():
    secret = Secret(bytes(range(32)))
    assert secret.key.hex() not in repr(secret) and repr(secret.key) not in repr(secret)
    assert secret.fingerprint not in secret.key.hex() and secret.fingerprint != PUBLIC.fingerprint

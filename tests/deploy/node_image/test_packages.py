"""The lock file of the node image, and what is told when a mirror has moved on."""

from dataclasses import replace

import pytest

from deploy.node_image.packages import LOCK, Package, differences, read_index, read_lock, wanted, write_lock

BASH = Package("bash", "5.2.15-2+b8", "amd64", "a" * 64)
INDEX = f"""\
Package: bash
Architecture: amd64
Version: 5.2.15-2+b8
Description: GNU Bourne Again SHell
 Bash is an sh-compatible command language interpreter: it
 .
 Version: none
SHA256: {"a" * 64}
"""


def test_what_apt_shows_is_read() -> None:
    assert read_index(INDEX) == [BASH]
    assert read_index(f"{INDEX}\n{INDEX}") == [BASH, BASH]


def test_a_lock_file_is_read_as_it_was_written() -> None:
    packages = [BASH, replace(BASH, name="adduser")]
    assert read_lock(write_lock(packages)) == sorted(packages)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([BASH], []),
        ([], ["bash 5.2.15-2+b8 is in the lock file and was not installed"]),
        ([BASH, replace(BASH, name="zsh")], ["zsh 5.2.15-2+b8 is not in the lock file"]),
        ([replace(BASH, version="6")], ["bash is locked at 5.2.15-2+b8, and the mirror has 6"]),
        ([replace(BASH, sha256="b" * 64)], ["bash is another file of the same version"]),
    ],
)
def test_every_difference_is_told(found: list[Package], told: list[str]) -> None:
    assert differences([BASH], found) == told


def test_the_lock_file_has_what_the_image_wants() -> None:
    locked = {package.name for package in read_lock(LOCK.read_text())}
    assert set(wanted().packages) <= locked

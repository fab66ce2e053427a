"""Disk images of operating systems from where their projects publish them, unpacked as they arrive."""

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import requests
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from api.errors import ErrorCode
from api.release import SystemImage
from contracts.errors import StepError

_CHUNK = 1 << 20
_TIMEOUTS_S = (10.0, 60.0)
"""For a connection, and for the next bytes."""

_OPENERS: dict[bytes, Callable[[IO[bytes]], io.BufferedIOBase]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""What opens a packed stream, by its first bytes."""

_QCOW2 = b"QFI\xfb"


def download(image: SystemImage, target: Path) -> None:
    """Write the disk image to ``target``, unpacked; what is all zeros takes no room there.

    Raises ``StepError`` with BinariesMissing when it can't be had, or isn't what its digest says. Nothing is left
    at ``target`` then.
    """
    digest = hashlib.sha256()
    with contextlib.ExitStack() as undo:
        undo.callback(target.unlink, missing_ok=True)
        _write(_content(image.url, digest), target)
        if (found := digest.hexdigest()) != image.sha256:
            text = f"{image.url} has the SHA-256 {found}, and the release names {image.sha256}"
            raise StepError(ErrorCode.BINARIES_MISSING, text)
        undo.pop_all()


def disk_format(image: Path) -> str:
    """Return what libvirt calls the format of a disk image: qcow2, or raw for anything else."""
    with image.open("rb") as file:
        return "qcow2" if file.read(len(_QCOW2)) == _QCOW2 else "raw"


def _write(chunks: Iterator[bytes], target: Path) -> None:
    with target.open("wb") as file:
        for chunk in chunks:
            if chunk.strip(b"\0"):
                file.write(chunk)
            else:
                file.seek(len(chunk), os.SEEK_CUR)
        file.truncate()


class _Hashed(io.RawIOBase):
    """A stream that reckons the digest of what is read from it."""

    def __init__(self, stream: HTTPResponse, digest: Any) -> None:
        super().__init__()
        self._stream, self._digest = stream, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self._digest.update(data)
        buffer[: len(data)] = data
        return len(data)


def _content(url: str, digest: Any) -> Iterator[bytes]:
    """Yield what is at ``url``, unpacked; ``digest`` is that of all that is there, when it is at its end."""
    try:
        # A server that packs as it sends would send other bytes than the digest is of.
        headers = {"Accept-Encoding": "identity"}
        with requests.get(url, stream=True, timeout=_TIMEOUTS_S, headers=headers) as response:
            response.raise_for_status()
            packed = io.BufferedReader(_Hashed(response.raw, digest), _CHUNK)
            start = packed.peek(max(map(len, _OPENERS)))
            openers = [opener for magic, opener in _OPENERS.items() if start.startswith(magic)]
            source: io.BufferedIOBase = openers[0](packed) if openers else packed
            while chunk := source.read(_CHUNK):
                yield chunk
            while packed.read(_CHUNK):
                pass
    except (requests.RequestException, HTTPError, OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        # All are of the source: a disk that is full is told where it is written to.
        raise StepError(ErrorCode.BINARIES_MISSING, f"{url} can't be had: {error}") from error

"""Files out of folders and archives (.tar, .tar.gz, .tgz, .deb), without unpacking them onto the disk.

`tarfile`'s extraction filters have had holes, so nothing is extracted: regular members with the wanted names are
read into memory, with caps on their number and size.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Collection, Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from cnn.errors import IntegrityError

MAX_FILES = 10_000
MAX_BYTES = 1 << 30
_TORN = (tarfile.TarError, EOFError, LZMAError, zlib.error, gzip.BadGzipFile, ValueError)
_AR_MAGIC, _AR_HEADER = b"!<arch>\n", 60


def read_files(path: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """The wanted files of a folder, an archive or a loose file, by their name without folders and without `.gz`.

    Raises:
        IntegrityError: An archive is torn, or larger than any data set we know.
    """
    found: dict[str, bytes] = {}
    for file in _files(path):
        if plain_name(file.name) in wanted:
            found[plain_name(file.name)] = _read_loose(file)
        elif file.name.endswith((".tgz", ".tar.gz", ".tar", ".deb")):
            found |= _read_archive(file, wanted)
    return found


def plain_name(name: str) -> str:
    """A file's name without folders and without `.gz`.

    Example:
        >>> plain_name("./usr/share/train-labels-idx1-ubyte.gz")
        'train-labels-idx1-ubyte'
    """
    return PurePosixPath(name).name.removesuffix(".gz")


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for count, file in enumerate(sorted(path.rglob("*"))):
        if count == MAX_FILES:
            raise _refused(path, f"more than {MAX_FILES} files")
        if file.is_file():
            yield file


def _read_loose(file: Path) -> bytes:
    if file.stat().st_size > MAX_BYTES:
        raise _refused(file, f"more than {MAX_BYTES} bytes")
    try:
        return _unzipped(file.read_bytes(), file)
    except _TORN as error:
        raise _refused(file, f"a torn file ({error})") from error


def _read_archive(file: Path, wanted: Collection[str]) -> dict[str, bytes]:
    try:
        with file.open("rb") as stream:
            if file.suffix == ".deb":
                _seek_deb_data(stream)
            return dict(_tar_members(stream, wanted, file))
    except _TORN as error:
        raise _refused(file, f"a torn archive ({error})") from error


def _tar_members(stream: IO[bytes], wanted: Collection[str], where: Path) -> Iterator[tuple[str, bytes]]:
    n_bytes = 0
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        for count, member in enumerate(archive):
            n_bytes += member.size
            if count == MAX_FILES or n_bytes > MAX_BYTES:
                raise _refused(where, f"more than {MAX_FILES} files or {MAX_BYTES} bytes")
            content = archive.extractfile(member) if member.isreg() and plain_name(member.name) in wanted else None
            if content is not None:
                yield plain_name(member.name), _unzipped(content.read(), where)


def _seek_deb_data(stream: IO[bytes]) -> None:
    """Move to the tar archive inside a Debian package, which is the member `data.tar.*` of an `ar` archive."""
    if stream.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise ValueError("no Debian package")
    while len(header := stream.read(_AR_HEADER)) == _AR_HEADER:
        if header.startswith(b"data.tar"):
            return
        size = int(header[48:58])
        stream.seek(size + size % 2, io.SEEK_CUR)
    raise ValueError("no data.tar in the package")


def _unzipped(content: bytes, where: Path) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        plain = file.read(MAX_BYTES + 1)
    if len(plain) > MAX_BYTES:
        raise _refused(where, f"more than {MAX_BYTES} bytes")
    return plain


def _refused(path: Path, received: str) -> IntegrityError:
    return IntegrityError(path, received=received, expected="the data set's files", change="delete it and run again")

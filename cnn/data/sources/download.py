"""One file over HTTP, with a progress bar, resumed where an interrupted download stopped."""

from pathlib import Path
from typing import Any

import requests
import rich
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cnn.durable import storage_errors

CONNECT_S, READ_S = 5.0, 30.0
MAX_BYTES = 1 << 30
_CHUNK = 1 << 18


class DownloadError(Exception):
    """The address gave no file; the reason in a few words."""


def download(url: str, path: Path) -> None:
    """Fetch `url` into `path`; what has come so far lies in `path`.part and is not fetched twice.

    A connection that breaks is taken up again for as long as each attempt brings something new.

    Raises:
        DownloadError: No connection, an answer that is no file, or more than `MAX_BYTES`.
        StorageError: The disk is full or the folder can't be written.
    """
    part = path.with_name(f"{path.name}.part")
    with storage_errors(part):
        path.parent.mkdir(parents=True, exist_ok=True)
        while not path.exists():
            had = _size(part)
            try:
                _transfer(url, part)
                part.replace(path)
            except requests.RequestException as error:
                if _size(part) <= had:
                    raise DownloadError(_reason(error)) from error


def _transfer(url: str, part: Path) -> None:
    """Append to `part` if the server honours the range, else begin again."""
    start = _size(part)
    with _get(url, start) as response:
        if response.status_code == requests.codes.range_not_satisfiable and start:
            part.unlink()  # longer than the file: the remains of another one
            return _transfer(url, part)
        response.raise_for_status()
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise DownloadError("a web page instead of a file")
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        return _write(response, part, start if resumed else 0)


def _get(url: str, start: int) -> Any:
    # Without `identity` a server may send .gz files as a content encoding, and requests would unpack them.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    return requests.get(url, headers=headers, stream=True, timeout=(CONNECT_S, READ_S))


def _write(response: Any, part: Path, done: int) -> None:
    console = rich.get_console()
    name = part.name.removesuffix(".part")
    if not console.is_terminal:
        console.print(f"Downloading {name}", highlight=False, markup=False, soft_wrap=True)
    total = done + int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with (
        part.open("ab" if done else "wb") as file,
        Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(name, total=total, completed=done)
        for chunk in response.iter_content(_CHUNK):
            done += len(chunk)
            if done > MAX_BYTES:
                raise DownloadError(f"more than {MAX_BYTES} bytes")
            file.write(chunk)
            progress.update(task, completed=done)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return f"no connection ({type(error).__name__})"

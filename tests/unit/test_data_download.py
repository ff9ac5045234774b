"""Downloads from a real server that breaks, refuses or ignores ranges."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from cnn.data.sources import download as module
from cnn.data.sources.download import DownloadError, download

CONTENT = np.random.default_rng(0).bytes(1_000_000)


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; breaks the connection after as many bytes as the next entry of `breaks` says."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        if self.path == "/missing":
            return self.send_error(404)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.resumable else 0
        if start >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Type", "text/html; charset=utf-8" if self.path == "/page" else "application/gzip")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        length = server.breaks.pop(0) if server.breaks else len(CONTENT)
        self.wfile.write(CONTENT[start : start + length])
        return None

    def log_message(self, *args):
        pass


@contextmanager
def server(*, resumable=True, breaks=()):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.ranges, running.breaks, running.resumable = [], list(breaks), resumable
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running, f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


def test_a_file_arrives_whole(tmp_path):
    with server() as (_, url):
        download(f"{url}/file", tmp_path / "new/file")
    # The bytes are the server's, and no part is left.
    assert (tmp_path / "new/file").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


def test_a_broken_connection_is_taken_up_where_it_broke(tmp_path):
    with server(breaks=[1 << 18, 1 << 18]) as (running, url):
        download(f"{url}/file", tmp_path / "file")
    # Three requests, each for what was still missing, and the file is whole.
    assert running.ranges == [None, "bytes=262144-", "bytes=524288-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_of_an_earlier_run_is_resumed(tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:123_456])
    with server() as (running, url):
        download(f"{url}/file", tmp_path / "file")
    # Only the rest was asked for.
    assert running.ranges == ["bytes=123456-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_without_ranges_gives_the_file_anew(tmp_path):
    (tmp_path / "file.part").write_bytes(b"stale" * 1000)
    with server(resumable=False) as (_, url):
        download(f"{url}/file", tmp_path / "file")
    # The stale part is overwritten, not appended to.
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(tmp_path):
    (tmp_path / "file.part").write_bytes(bytes(len(CONTENT) + 1))
    with server() as (running, url):
        download(f"{url}/file", tmp_path / "file")
    # After "range not satisfiable" it begins again.
    assert running.ranges == [f"bytes={len(CONTENT) + 1}-", None]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_file_that_is_here_is_not_asked_for(tmp_path):
    (tmp_path / "file").write_bytes(b"here")
    with server() as (running, url):
        download(f"{url}/file", tmp_path / "file")
    # No request was made.
    assert running.ranges == []


@pytest.mark.parametrize(("path", "reason"), [("missing", "HTTP 404"), ("page", "a web page")])
def test_an_answer_that_is_no_file_is_refused(tmp_path, path, reason):
    # An error and a login page are reasons, not files.
    with server() as (_, url), pytest.raises(DownloadError, match=reason):
        download(f"{url}/{path}", tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_server_that_gives_nothing_ends_the_attempts(tmp_path):
    # A connection that breaks with nothing new is not tried for ever.
    with server(breaks=[0] * 100) as (running, url), pytest.raises(DownloadError, match="no connection"):
        download(f"{url}/file", tmp_path / "file")
    assert len(running.ranges) == 1


def test_nobody_there(tmp_path):
    # A port on which nothing listens is said to give no connection.
    with pytest.raises(DownloadError, match="no connection"):
        download("http://127.0.0.1:9/file", tmp_path / "file")


def test_more_than_the_cap_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 10_000)
    # A file larger than any data set is not stored whole.
    with server() as (_, url), pytest.raises(DownloadError, match="more than 10000 bytes"):
        download(f"{url}/file", tmp_path / "file")
    assert not (tmp_path / "file").exists()

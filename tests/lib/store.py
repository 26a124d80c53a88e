"""Stores: files of a folder by HTTP on loopback, with its faults; and one in memory."""

import http.server
import pathlib
import threading
from contextlib import contextmanager

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class Bucket(MemoryFileSystem):
    """Names and orders arguments as s3fs does; a bucket must be there."""

    protocol = "bucket"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace(f"{cls.protocol}:", "memory:", 1))

    def cat_file(self, path, version_id=None, start=None, end=None):
        assert version_id is None
        return super().cat_file(path, start, end)

    def pipe_file(self, path, data, chunksize=50):
        super().pipe_file(path, data)

    def makedirs(self, path, exist_ok=False):
        if path.startswith("/nobody/"):
            raise FileNotFoundError("The specified bucket does not exist")
        super().makedirs(path, exist_ok)


fsspec.register_implementation("bucket", Bucket, clobber=True)


class Store(http.server.ThreadingHTTPServer):
    """Serves ranges of bytes; the next answers about the files `of` have `faults`."""

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Answer)
        self.folder, self.of, self.faults = pathlib.Path(folder), "", []
        self.asked = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, store = self.server.folder / self.path.lstrip("/"), self.server
        mine = self.command == "GET" and store.of and store.of in self.path
        store.asked += bool(mine)
        fault = store.faults.pop(0) if mine and store.faults else None
        if fault == "503" or not path.is_file():
            return self.send_error(503 if path.is_file() else 404)
        content = path.read_bytes()
        status, size = 200, len(content)
        if asked := self.headers.get("Range"):
            start, end = asked.removeprefix("bytes=").split("-")
            status, content = 206, content[int(start) : int(end) + 1]
        if fault == "flipped":
            content = bytes([content[0] ^ 1]) + content[1:]
        if fault == "short":
            content = content[:-1]
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content)))
        if status == 206:
            until = int(start) + len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{until}/{size}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2 if fault == "cut" else None])
        if fault == "cut":
            self.close_connection = True

    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    """A store of the files of a folder, until the end of the block."""
    with Store(folder) as store:
        thread = threading.Thread(target=store.serve_forever, daemon=True)
        thread.start()
        try:
            yield store
        finally:
            store.shutdown()
            thread.join()

"""A server on this machine that hands out an archive as badly as a test wants."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import nibabel as nib
import numpy as np

TASK = "Task04_Hippocampus"
SCANS = ("hippocampus_001", "hippocampus_003")


def small_archive(*strangers: tarfile.TarInfo) -> bytes:
    """Return a small archive of the Decathlon's form, with files that macOS adds, and strangers."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in _files():
            info = tarfile.TarInfo(f"{TASK}/{name}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for stranger in strangers:
            file.addfile(stranger, io.BytesIO(b"x" * stranger.size))
    return buffer.getvalue()


def _files() -> Iterator[tuple[str, bytes]]:
    random = np.random.default_rng(0)
    for name in SCANS:
        labels = np.zeros((60, 60, 60), np.uint8)
        labels[20:40, 20:40, 20:40] = 1
        scan = random.normal(100, 20, labels.shape).astype(np.float32) + 50 * labels
        for folder, array in (("imagesTr", scan), ("labelsTr", labels)):
            yield f"{folder}/._{name}.nii.gz", b"Mac OS X"
            content = nib.Nifti1Image(array, np.eye(4)).to_bytes()
            yield f"{folder}/{name}.nii.gz", gzip.compress(content, 1)
    pairs = [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
        for name in SCANS
    ]
    study = {"labels": {"0": "background", "1": "Anterior"}, "training": pairs, "test": []}
    yield "dataset.json", json.dumps(study).encode()


class Served:
    """What the server hands out, and how; ``ranges`` are those that it was asked for."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.md5 = hashlib.md5(content).hexdigest()
        self.url = ""
        self.cut_after: list[int] = []
        self.resumes = True
        self.status = 200
        self.said_length: int | None = None
        self.seconds_a_piece = 0.0
        self.ranges: list[str | None] = []


@contextmanager
def serving(content: bytes) -> Iterator[Served]:
    """Serve an archive until the end of the block."""
    served = Served(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, served)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, served: Served) -> None:
    asked = handler.headers["Range"]
    served.ranges.append(asked)
    begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and served.resumes else 0
    whole = len(served.content)
    if served.status != 200:
        handler.send_error(served.status)
        return
    if begin >= whole:
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{whole}")
        handler.end_headers()
        return
    body = served.content[begin:]
    handler.send_response(206 if asked and served.resumes else 200)
    handler.send_header("Content-Length", str(served.said_length or len(body)))
    handler.end_headers()
    most = served.cut_after.pop(0) if served.cut_after else len(body)
    for start in range(0, min(most, len(body)), 1 << 16):
        try:
            handler.wfile.write(body[start : min(start + (1 << 16), most)])
        except OSError:
            return
        time.sleep(served.seconds_a_piece)

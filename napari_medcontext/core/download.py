"""Download a file, going on where an earlier try was cut."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from napari_medcontext.core.decathlon import size_text
from napari_medcontext.core.errors import DownloadError

WAITS = (0.0, 1.0, 3.0, 10.0)
"""Seconds before each further try; a try that brought something begins the count anew."""
TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 1 << 18
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416


def continued(url: str, partial: Path) -> Iterator[tuple[int, int]]:
    """Bring a file to its end over HTTP, from where it stops.

    May be closed at any step: what has come is kept, and the next call goes on from there. A
    server that cannot go on in the middle sends the file anew.

    Parameters
    ----------
    url
        Of the whole file.
    partial
        Where to write; what is there already is its beginning.

    Yields
    ------
    tuple of int
        How many bytes are there, and how many it will be; 0 where the server does not say. The
        first pair comes before anything is written.

    Raises
    ------
    DownloadError
        If the server refuses, or the connection is cut over and over without a byte coming.
    """
    import requests

    tries = 0
    while True:
        before = _size(partial)
        try:
            yield from _streamed(url, partial)
        except requests.RequestException as error:
            tries = 0 if _size(partial) > before else tries + 1
            response = error.response
            refused = response is not None and 400 <= response.status_code < 500
            if refused or tries == len(WAITS):
                raise _failure(url, error, partial) from error
            time.sleep(WAITS[tries])
        else:
            return


def require_room(folder: Path, needed: int) -> None:
    """Refuse a download for which the disk has no room.

    Raises
    ------
    DownloadError
        Saying how much is needed and how much is free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"{folder} has {size_text(free)} free, and {size_text(needed)} are needed for the "
            "archive and what is unpacked from it. Make room, or choose another disk."
        )


def _streamed(url: str, partial: Path) -> Iterator[tuple[int, int]]:
    """Make one try; a cut is an error of ``requests``."""
    import requests

    have = _size(partial)
    headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        if have and response.status_code == RANGE_NOT_SATISFIABLE:
            if _whole_size(response.headers.get("Content-Range", "")) != have:
                partial.unlink()
                raise requests.ConnectionError("what is here is no beginning of it")
            yield have, have
            return
        response.raise_for_status()
        goes_on = response.status_code == PARTIAL_CONTENT
        have = have if goes_on else 0
        length = int(response.headers.get("Content-Length", 0))
        total = have + length if length else 0
        yield have, total
        with partial.open("ab" if goes_on else "wb") as file:
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                have += len(chunk)
                yield have, total
    if have < total:
        raise requests.ConnectionError(f"it ended after {have} of {total} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _whole_size(content_range: str) -> int | None:
    found = re.fullmatch(r"bytes \*/(\d+)", content_range)
    return int(found[1]) if found else None


def _failure(url: str, error: Exception, partial: Path) -> DownloadError:
    kept = f" {size_text(_size(partial))} of it are kept in {partial}." if _size(partial) else ""
    return DownloadError(
        f"{url} cannot be downloaded ({error}).{kept} Check the connection and the address, and "
        "ask again: it goes on where it was cut."
    )

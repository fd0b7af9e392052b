"""Bring a public data set to the disk: downloaded, checked, unpacked, whole or not at all."""

from __future__ import annotations

import logging
import os
import shutil
import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from napari_medcontext.core.decathlon import Task
from napari_medcontext.core.download import continued, require_room
from napari_medcontext.core.errors import DownloadError
from napari_medcontext.core.events import Event, Fetching
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.io import require_writable

DESCRIPTION = "dataset.json"
AS_PUBLISHED = "It has the published checksum, so that no other copy is better; tell its authors."
LEFT_OUT = ("._", ".DS_Store")
"""Beginnings of the names of files that macOS adds to archives, and that are no scans."""


def is_fetched(task: Task, folder: Path) -> bool:
    """Say whether a task lies in a folder of data sets, whole."""
    # It got its name when all of it was there.
    return (folder / task.name / DESCRIPTION).is_file()


def fetch(task: Task, folder: Path, base_url: str) -> Generator[Event, None, Path]:
    """Download a task, check it and unpack it; does nothing where that is done.

    May be closed at any event. What was downloaded lies in a folder of its own, beside, until
    the whole is unpacked and renamed into place; the next call goes on from it.

    Parameters
    ----------
    task
        One of ``decathlon.TASKS``.
    folder
        That of all data sets; made if it is not there.
    base_url
        Where the archive lies.

    Yields
    ------
    Fetching
        How many bytes are done.

    Returns
    -------
    Path
        The task's folder.

    Raises
    ------
    DownloadError
        If it cannot be had, its checksum is wrong (it is deleted then), it holds what no data
        set should, or the disk is full.
    RunError
        If somebody else is downloading it.
    """
    target = folder / task.name
    if is_fetched(task, folder):
        return target
    if target.exists():
        raise DownloadError(
            f"{target} is there already, but holds no {DESCRIPTION}. Move it away, or choose "
            "another folder."
        )
    require_writable(folder)
    work = WorkFolder(folder / f"{task.name}.download")
    try:
        with work.claimed():
            archive = yield from _archive(task, work.path, f"{base_url.rstrip('/')}/{task.archive}")
            unpacked = yield from _unpacked(archive, task, work.path / "unpacked")
            os.replace(unpacked, target)
        shutil.rmtree(work.path)
    except OSError as error:
        raise DownloadError(
            f"{folder} cannot be written ({error.strerror or error}). Choose a folder that you "
            "may write to, with room on its disk."
        ) from error
    return target


def _archive(task: Task, work: Path, url: str) -> Generator[Event, None, Path]:
    """Download the archive, and have it checked; one that is there is checked again."""
    partial = work / f"{task.archive}.part"
    if not (work / task.archive).is_file():
        asked = False
        for have, total in continued(url, partial):
            if not asked:
                require_room(work, 2 * total - have)
            asked = True
            yield Fetching(f"Downloading {task.name}", have, total)
    yield Fetching(f"Checking {task.name}", 0, 0)
    return _checked(task, url, partial)


def _checked(task: Task, url: str, partial: Path) -> Path:
    """Let pooch take what was downloaded for the archive if it has the published checksum."""
    import pooch

    def hand_over(url: str, output: str, _: object) -> None:
        if not partial.is_file():
            raise ValueError(f"{partial} was the archive, and is damaged now")
        os.replace(partial, output)

    try:
        with _quiet(pooch.get_logger()):
            archive = pooch.retrieve(
                url, f"md5:{task.md5}", task.archive, partial.parent, downloader=hand_over
            )
    except ValueError as error:
        (partial.parent / task.archive).unlink(missing_ok=True)
        raise DownloadError(
            f"{url} is not what was published: its MD5 sum is not {task.md5}. It was deleted. Ask "
            "again, or name another mirror."
        ) from error
    return Path(archive)


def _unpacked(archive: Path, task: Task, into: Path) -> Generator[Event, None, Path]:
    """Unpack the archive beside its place, nothing outside of ``into``."""
    shutil.rmtree(into, ignore_errors=True)
    size = archive.stat().st_size
    try:
        with tarfile.open(archive) as file:
            for member in file:
                if not PurePosixPath(member.name).name.startswith(LEFT_OUT):
                    file.extract(member, into, filter="data")
                yield Fetching(f"Unpacking {task.name}", file.offset, size)
    except tarfile.TarError as error:
        raise DownloadError(
            f"{archive} cannot be unpacked ({error}), and nothing of it was put in place. "
            f"{AS_PUBLISHED}"
        ) from error
    if not (into / task.name / DESCRIPTION).is_file():
        raise DownloadError(f"{archive} holds no {task.name}/{DESCRIPTION}. {AS_PUBLISHED}")
    return into / task.name


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep back what pooch says of itself: events say it."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)

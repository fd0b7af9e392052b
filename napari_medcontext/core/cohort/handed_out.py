"""Hand tasks to dask workers, a few at a time, until each has come to something."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from napari_medcontext.core.cohort.cluster import dask_distributed
from napari_medcontext.core.errors import RunError

Task = TypeVar("Task")
Result = TypeVar("Result")
TOPIC = "medcontext"
"""What workers tell while they are at a task."""
AT_ONCE = 2
"""Tasks that a worker has at once: one is computed, and the scan of the next one read."""
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 300.0
"""So long may a scheduler be without any worker."""
SETTLE_SECONDS = 15.0


@dataclass(frozen=True)
class Done(Generic[Task, Result]):
    """A task and what it came to; ``None`` if each worker that was at it died."""

    task: Task
    result: Result | None


@dataclass(frozen=True)
class Told:
    """What a worker says of a task that it is at."""

    name: str
    fraction: float


@dataclass(frozen=True)
class Lost:
    """A worker died over these tasks, which are done again by another."""

    worker: str
    names: tuple[str, ...]


class HandedOut(Generic[Task, Result]):
    """Tasks under way at the workers of a cluster.

    Only as many are handed out as workers can be at, so memory does not grow with their number.
    A task whose worker dies is done again by another. Dask gives up on one with which several
    died, but blames all that these were at: it is then tried once more, alone.

    Parameters
    ----------
    client
        The ``distributed.Client``.
    work
        What a worker does with a task; must be importable there.
    name_of
        What a task is called.
    """

    def __init__(
        self, client: Any, work: Callable[[Task], Result], name_of: Callable[[Task], str]
    ) -> None:
        self._client = client
        self._address = str(client.scheduler.address)
        self._work = work
        self._name_of = name_of
        self._id = f"medcontext-{uuid.uuid4().hex}"
        self._count = 0
        self._under_way: dict[str, tuple[Task, Any]] = {}
        self._news: SimpleQueue[str | Told | Lost] = SimpleQueue()
        self._last_seen = time.monotonic()

    def results(
        self, tasks: Iterable[Task], should_stop: Callable[[], bool]
    ) -> Iterator[Done[Task, Result] | Told | Lost]:
        """Yield what tasks come to, in the order in which they are done, and news of them.

        Ends early, with tasks under way, if ``should_stop`` says so; see ``settle``.

        Raises
        ------
        RunError
            If the scheduler is gone, or has had no worker for some minutes.
        Exception
            Whatever ``work`` raises.
        """
        self._client.subscribe_topic("all", self._hear_of_workers)
        self._client.subscribe_topic(TOPIC, self._hear_of_tasks)
        doubtful: list[Task] = []
        for item in self._through(iter(tasks), AT_ONCE, should_stop):
            if isinstance(item, Done) and item.result is None:
                doubtful.append(item.task)
            else:
                yield item
        yield from self._through(iter(doubtful), 0, should_stop)

    def settle(self) -> None:
        """Wait a while for tasks that were told to end before their time."""
        futures = [future for _, future in self._under_way.values()]
        with suppress(Exception):  # of a scheduler that is gone too
            dask_distributed().wait(futures, timeout=SETTLE_SECONDS)

    def _through(
        self, tasks: Iterator[Task], at_once: int, should_stop: Callable[[], bool]
    ) -> Iterator[Done[Task, Result] | Told | Lost]:
        upcoming = next(tasks, None)
        while (upcoming is not None or self._under_way) and not should_stop():
            room = self._room(at_once)
            while upcoming is not None and len(self._under_way) < room:
                self._hand_out(upcoming)
                upcoming = next(tasks, None)
            with suppress(Empty):
                news = self._news.get(timeout=POLL_SECONDS)
                if not isinstance(news, str):
                    yield news
                elif news in self._under_way:
                    yield self._taken_back(news)

    def _room(self, at_once: int) -> int:
        """Return how many tasks may be under way; those tried alone go one by one."""
        try:
            threads: Mapping[str, int] = self._client.nthreads()
        except (OSError, RuntimeError, AttributeError) as error:
            raise self._gone() from error
        if threads:
            self._last_seen = time.monotonic()
        elif time.monotonic() - self._last_seen > PATIENCE_SECONDS:
            raise RunError(
                f"The scheduler at {self._address} has had no worker for "
                f"{PATIENCE_SECONDS / 60:.0f} minutes. What is done is kept; start workers "
                f"(“dask worker {self._address}”) and give the same command again."
            )
        return sum(min(count, at_once) for count in threads.values()) if at_once else 1

    def _hand_out(self, task: Task) -> None:
        key = f"{self._id}-{self._count}"
        self._count += 1
        future = self._client.submit(self._work, task, key=key, pure=False)
        self._under_way[key] = task, future
        future.add_done_callback(partial(_announce, self._news, key))

    def _taken_back(self, key: str) -> Done[Task, Result]:
        task, future = self._under_way.pop(key)
        if future.status == "cancelled":
            raise self._gone()
        try:
            return Done(task, future.result())
        except dask_distributed().KilledWorker:
            return Done(task, None)

    def _hear_of_workers(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, message = event
        if message["action"] != "remove-worker" or message.get("expected"):
            return
        names = sorted(filter(None, map(self._name_under_way, message["processing-tasks"])))
        if names:
            self._news.put(Lost(message["worker"], tuple(names)))

    def _hear_of_tasks(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, message = event
        name = self._name_under_way(message["key"])
        if name:
            self._news.put(Told(name, message["fraction"]))

    def _name_under_way(self, key: str) -> str:
        """Return what one of these tasks is called; nothing for others' and for those done."""
        task, _ = self._under_way.get(key, (None, None))
        return "" if task is None else self._name_of(task)

    def _gone(self) -> RunError:
        return RunError(
            f"The scheduler at {self._address} does not answer any more. What is done is kept; "
            "start it and its workers, and give the same command again."
        )


def tell(fraction: float) -> None:
    """Tell, on a worker, how far its task is."""
    worker = dask_distributed().get_worker()
    worker.log_event(TOPIC, {"key": worker.get_current_task(), "fraction": fraction})


def _announce(news: SimpleQueue[Any], key: str, future: object) -> None:
    news.put(key)

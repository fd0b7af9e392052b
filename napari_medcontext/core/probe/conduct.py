"""Probe several runs on several scans, one after another; what is done already is left alone."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import cached_property

from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.events import Event, ProbeProgress, RunFinished, Warned
from napari_medcontext.core.inference import Predictor
from napari_medcontext.core.mask_grid import Mask
from napari_medcontext.core.probe.measure import organ_target, probe_target
from napari_medcontext.core.probe.plan import ProbeFolder, ProbeSpec, method_of, run_names
from napari_medcontext.core.probe.results import write_results
from napari_medcontext.core.probe.rows import ProbedRow, read_probe_rows, write_probe_rows
from napari_medcontext.core.probe.shape import training_shapes
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.subject import load_networks, load_subject
from napari_medcontext.core.windows import as_part

REPORTED = 0.02
"""Progress is told when so much more of a scan is done."""


def conduct_probe(folder: ProbeFolder) -> Iterator[Event]:
    """Probe what is missing, and write the tables and the chart.

    Parameters
    ----------
    folder
        The folder of the probe. ``stop`` sent to it ends the work between two windows; scans
        that are done are kept.

    Yields
    ------
    Event
        ``ProbeProgress``, what is odd, and ``RunFinished`` at the end.

    Raises
    ------
    MedContextError
        If a run or a scan cannot be used.
    """
    spec = folder.spec()
    total, done = len(spec.runs) * len(spec.scans), 0
    rows: list[ProbedRow] = []
    for path, name in zip(spec.runs, run_names(spec.runs), strict=True):
        probed = _ProbedRun(RunFolder(path), name, spec)
        yield from probed.warnings()
        for case in spec.scans:
            part = folder.part(probed.run, case)
            if not part.is_file():
                title, told = f"{name} · {case.name}", -1.0
                work = probed.rows_of(case)
                while folder.command() != "stop":
                    try:
                        fraction = next(work)
                    except StopIteration as end:
                        write_probe_rows(part, end.value)
                        break
                    if fraction - told >= REPORTED:
                        told = fraction
                        yield ProbeProgress(title, done, total, fraction)
                else:
                    yield RunFinished("stopped", done, f"Stopped; {done} of {total} are done.")
                    return
            rows += read_probe_rows(part)
            done += 1
    problem = write_results(folder, rows, spec)
    if problem:
        yield Warned(problem)
    counts = (f"{len(spec.runs)} run", f"{len(spec.scans)} scan")
    runs, scans = (f"{text}{'s' * (not text.startswith('1 '))}" for text in counts)
    text = f"Probed {runs} on {scans}. See {folder.report}"
    yield RunFinished("completed", done, text)


class _ProbedRun:
    """One of the runs, loaded when it is first needed."""

    def __init__(self, run: RunFolder, name: str, spec: ProbeSpec) -> None:
        self.run = run
        self._name, self._spec = name, spec

    def warnings(self) -> Iterator[Event]:
        """Tell of scans that the run has learned from: it knows them by heart."""
        learned = {case.image.resolve() for case in self.run.spec().with_role("training")}
        known = [case.name for case in self._spec.scans if case.image.resolve() in learned]
        if known:
            yield Warned(
                f"{self._name} was trained on {', '.join(known)}: what it knows of them is no "
                "measure of what it knows of others."
            )

    def rows_of(self, case: Case) -> Generator[float, None, list[ProbedRow]]:
        """Probe one scan, each organ in turn."""
        yield 0.0
        predictor, spec = self._predictor, self._spec
        subject = load_subject(self.run, predictor, case)
        wanted = self._wanted(subject.labelled_ids())
        rows = []
        for done, class_id in enumerate(wanted):
            target = organ_target(subject, class_id, spec.draws, spec.seed)
            work = probe_target(subject, target, self._shapes, spec.seed)
            found = yield from as_part(work, done / len(wanted), (done + 1) / len(wanted))
            rows += found
        config = predictor.config
        method, seed = method_of(config), config.training.seed
        return [ProbedRow(self._name, method, seed, row) for row in rows]

    @cached_property
    def _predictor(self) -> Predictor:
        return load_networks(self.run)

    @cached_property
    def _shapes(self) -> dict[int, Mask]:
        return training_shapes(self.run, self._predictor)

    def _wanted(self, there: tuple[int, ...]) -> list[int]:
        """Return those classes in a scan that shall be hidden.

        Raises
        ------
        SettingsError
            If the run knows no class of such a name or id.
        """
        names = self._predictor.classes.names
        by_word = {str(k): k for k in names} | {name.lower(): k for k, name in names.items()}
        unknown = [word for word in self._spec.organs if word.lower() not in by_word]
        if unknown:
            raise SettingsError(
                f"{self._name} knows no organ {', '.join(unknown)}; it knows "
                f"{', '.join(f'{name} ({k})' for k, name in names.items())}."
            )
        chosen = {by_word[word.lower()] for word in self._spec.organs} or set(there)
        return [k for k in there if k in chosen]

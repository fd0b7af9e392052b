"""Train on from a run, with labels that were corrected since: annotate, train, annotate."""

from __future__ import annotations

from typing import Any

from napari.layers import Image, Labels

from napari_medcontext.core.errors import RunError
from napari_medcontext.core.run import RunFolder
from napari_medcontext.widgets.docks import open_dock
from napari_medcontext.widgets.run_names import next_name


def offer_training_on(viewer: Any, run: RunFolder, scan: Image, labels: Labels | None) -> None:
    """Set the Train dock up to start from a run's student, in a folder of its own.

    The run stays as it is, so that the two can be compared.

    Parameters
    ----------
    viewer
        The napari viewer.
    run
        Whose settings, regions and weights are taken.
    scan, labels
        Become a training pair, where there are labels; the other scans stay as the dock has them.

    Raises
    ------
    RunError
        If the run has saved no weights yet, or no training can be set up now.
    """
    spec, weights = run.spec(), run.weight_file("student")
    if run.is_alive():
        raise RunError(f"{run.name} is still training. Stop it first, or wait until it ends.")
    dock = open_dock(viewer, "Train")
    start = {"network": {"pretrained": weights}}
    dock.set_config(spec.config.updated(start))
    dock.regions.set_regions(spec.regions)
    dock.run_path.setText(str(next_name(run.path)))
    if labels is not None:
        dock.scans.choose(scan, labels, "training")

"""Learn in one of several processes, in double precision: ``double_learners.py RANK SIZE OUT``.

In double precision rounding hides nothing: what differs, differs by design.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from napari_medcontext.core.classes import UNKNOWN
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.device import Compute
from napari_medcontext.core.learner import Learner
from napari_medcontext.core.parallel import Placement
from napari_medcontext.core.parallel.team import Team
from napari_medcontext.core.sampler import Batch

PATCH = (32, 16, 16)
BATCH, CLASSES, STEPS = 4, 3, 2
NESTED = np.array([[False, True, True], [False, False, True]])
MIXED = {"masked_share": 0.5, "views": "one"}
CASES = {
    "known everywhere": {},
    "some unknown, two patches without labels": {"unknown": 0.25, "bare": 2},
    "one view": {"bare": 2, "objective": MIXED},
    "nothing known": {"bare": 4},
    "regions": {"unknown": 0.25, "bare": 1, "membership": NESTED},
    "several outputs": {"unknown": 0.25, "bare": 1, "network": "dynunet"},
    "no teacher, no clip": {
        "objective": {"method": "supervised"},
        "training": {"gradient_clip": 0.0},
    },
}
"""What couples the samples of a batch, or leaves a process without any for a view."""


def config_of(case):
    return RunConfig().updated(
        {
            "network": {"name": case.get("network", "unet")},
            "data": {"patch_size": PATCH},
            "masking": {"block_size": 4},
            "objective": case.get("objective", {}),
            "training": {"steps": STEPS, "batch_size": BATCH, **case.get("training", {})},
            "device": {"device": "cpu", "precision": "float32", "threads": 1},
        }
    )


def batch_of(case, step, own):
    """Return one's own samples of a batch; each has another share of unknown voxels."""
    rng = np.random.default_rng(step)
    image = rng.normal(size=(BATCH, 1, *PATCH))
    labels = rng.integers(0, CLASSES, image.shape)
    shares = case.get("unknown", 0.0) * np.arange(1, BATCH + 1)
    labels[rng.random(image.shape) < shares.reshape(-1, 1, 1, 1, 1) * 0.99] = UNKNOWN
    labels[BATCH - case.get("bare", 0) :] = UNKNOWN
    return Batch(
        torch.tensor(image[list(own)]), torch.tensor(labels[list(own)], dtype=torch.float64)
    )


def learned(team: Team):
    """Return the losses and the weights of each case."""
    found = {}
    for name, case in CASES.items():
        config = config_of(case)
        learner = Learner(
            config,
            CLASSES if "membership" not in case else len(NESTED),
            2,
            Compute(torch.device("cpu"), "float32"),
            case.get("membership"),
            team=team,
        )
        for network in filter(None, (learner.student, learner.teacher, learner.token)):
            network.double()
        team.align(learner.step, learner.tensors())
        results = [learner.learn(batch_of(case, step, team.own(BATCH))) for step in range(STEPS)]
        found[name] = [dict(result.losses) for result in results], learner.weights()
    return found


def main(rank: str, size: str, out: str) -> None:
    from napari_medcontext.core.parallel.connection import connected

    torch.set_num_threads(1)
    placement = Placement(int(size), int(size), int(rank))
    with connected(placement, RunConfig().device.model_copy(update={"device": "cpu"})) as team:
        torch.save(learned(team), Path(out) / f"{rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])

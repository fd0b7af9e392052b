import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_medcontext.core.device import Compute
from napari_medcontext.core.learner import Learner
from napari_medcontext.core.networks import find_network
from napari_medcontext.core.sampler import Batch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from plain_step import PlainLearner
from step_table import BUILT, PLAIN, step_table

CPU = Compute(torch.device("cpu"), "float32")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


# Several outputs, and the two whose losses in single precision differ most.
@pytest.mark.parametrize("name", ["unet", "attention_unet", "nnformer", "segresnet", "pcrlv2"])
@pytest.mark.parametrize("method", ["medcontext", "supervised"])
def test_plain_and_built_step_find_the_same_losses(name, method, tiny_config):
    patch_size = find_network(name).fitting((16, 16, 16))
    config = tiny_config.updated(
        {
            "network": {"name": name},
            "data": {"patch_size": patch_size},
            "objective": {"method": method},
        }
    )
    rng = np.random.default_rng(0)
    # Networks in double precision, so that the order of their sums, which differs, hides
    # nothing; losses are summed in single precision anyhow.
    image = torch.tensor(rng.normal(size=(2, 1, *patch_size)))
    labels = torch.tensor(rng.integers(0, 3, image.shape), dtype=image.dtype)
    plain, built = PlainLearner(config, 3, 2, CPU.device), Learner(config, 3, 2, CPU)
    for learner in (plain, built):
        for network in filter(None, (learner.student, learner.teacher)):
            network.double()
    first = plain.learn(Batch(image, labels))
    assert built.learn(Batch(image, labels)).losses == pytest.approx(first, rel=1e-6)
    assert len(first) == (3 if method == "medcontext" else 1)
    # The second step shows what the first one's optimizer and teacher made of the losses.
    second = plain.learn(Batch(image, labels))
    assert built.learn(Batch(image, labels)).losses == pytest.approx(second, rel=1e-5)
    assert second != pytest.approx(first, rel=1e-3)


def test_ratios_of_the_table_compare_what_was_measured_in_the_same_round():
    measurements = {PLAIN: (2.0, 8.0, 4.0), BUILT: (1.0, 2.0, 3.0)}
    rows = [
        {
            "network": "unet",
            "arm": arm,
            "round": str(number),
            "seconds": str(seconds),
            "memory_mib": "100",
            "first_losses": '{"dice_ce": 1.0}',
            "precision": "float32",
            "machine": "CPU",
        }
        for arm, times in measurements.items()
        for number, seconds in enumerate(times)
    ]
    last = step_table(rows, "cpu").splitlines()[-1]
    assert last == (
        "| unet | MedContext, built | float32 | 2000 ms | 100 MiB | 0.50 |  | 1.00 | 0e+00 |"
    )

"""Shares of a batch add up to what the whole batch teaches, to the precision of the numbers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from napari_medcontext.core.parallel.local import addressed
from napari_medcontext.core.parallel.team import Team

sys.path.insert(0, str(Path(__file__).parent))
import double_learners
from double_learners import CASES

pytestmark = pytest.mark.slow

LOSS_TOLERANCE = 1e-12
WEIGHT_TOLERANCE = 1e-8
"""Larger: where a gradient is nothing but rounding, the optimizer makes a step of it."""


@pytest.fixture(scope="module")
def alone():
    torch.set_num_threads(1)
    return double_learners.learned(Team())


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What each of two processes learned."""
    out = tmp_path_factory.mktemp("shared")
    with addressed():
        processes = [
            subprocess.Popen(
                [sys.executable, double_learners.__file__, str(rank), "2", str(out)],
                env={**os.environ, "LOCAL_RANK": str(rank)},
            )
            for rank in range(2)
        ]
        assert [process.wait(200) for process in processes] == [0, 0]
    return [torch.load(out / f"{rank}.pt") for rank in range(2)]


def tensors(weights):
    return {
        (network, name): tensor
        for network, state in weights.items()
        for name, tensor in state.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_does(case, alone, shared):
    (losses, weights), (found, shares) = alone[case], shared[0][case]
    for step, other in zip(losses, found, strict=True):
        assert other == pytest.approx(step, rel=LOSS_TOLERANCE)
    mine, theirs = tensors(weights), tensors(shares)
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=0.0, atol=WEIGHT_TOLERANCE)


@pytest.mark.parametrize("case", CASES)
def test_both_processes_have_the_very_same_weights(case, shared):
    (losses, first), (others, second) = (process[case] for process in shared)
    assert losses == others
    mine, theirs = tensors(first), tensors(second)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())

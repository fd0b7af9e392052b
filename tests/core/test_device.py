import os

import pytest
import torch

from napari_medcontext.core.device import choose_compute
from napari_medcontext.core.training_settings import DeviceSettings


@pytest.fixture
def one_core():
    """Let this test run on one core, as a container or a scheduler may."""
    before, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)
    torch.set_num_threads(threads)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_threads_are_as_many_as_the_cores_that_may_be_used(one_core):
    torch.set_num_threads(2)
    choose_compute(DeviceSettings(device="cpu"))
    assert torch.get_num_threads() == 1
    choose_compute(DeviceSettings(device="cpu", threads=2))
    assert torch.get_num_threads() == 2

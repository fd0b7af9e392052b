import math

import numpy as np
import pytest
import torch
from torch import nn

from napari_medcontext.core.schedule import learning_rate_at
from napari_medcontext.core.teacher import make_teacher, momentum_at, update_teacher


def momentum_restated(i, n, lam0):
    return 1 - (1 - lam0) * (math.cos(math.pi * i / n) + 1) / 2


@pytest.fixture
def student():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4), nn.Dropout(0.5))


def moved(student):
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn_like(parameter))
    student.train()(torch.randn(2, 1, 5, 5, 5))
    return student


def test_teacher_starts_as_a_copy_of_its_own_that_takes_no_gradient(student):
    teacher = make_teacher(student)
    assert not teacher.training
    assert student.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    for own, other in zip(teacher.parameters(), student.parameters(), strict=True):
        assert torch.equal(own, other)
        assert own.data_ptr() != other.data_ptr()


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.996, 1.0])
def test_teacher_follows_by_equation_6(student, momentum):
    teacher = make_teacher(student)
    moved(student)
    expected = [
        momentum * t.double().numpy() + (1 - momentum) * s.detach().double().numpy()
        for t, s in zip(teacher.parameters(), student.parameters(), strict=True)
    ]
    update_teacher(teacher, student, momentum)
    for own, wanted in zip(teacher.parameters(), expected, strict=True):
        np.testing.assert_allclose(own.numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_batch_norm_statistics_are_copied(student):
    teacher = make_teacher(student)
    moved(student)
    update_teacher(teacher, student, 0.9)
    for own, other in zip(teacher.buffers(), student.buffers(), strict=True):
        assert torch.equal(own, other)


def test_paper_schedule_is_a_cosine_from_the_setting_to_one():
    for step in range(500):
        got = momentum_at(step, 500, momentum=0.996, schedule="paper")
        assert got == pytest.approx(momentum_restated(step, 500, 0.996), abs=1e-12)
    assert momentum_at(0, 500, momentum=0.996, schedule="paper") == pytest.approx(0.996)


def test_run_length_schedule_is_the_smaller_of_cosine_and_last_tenth():
    for step in range(0, 20_000, 97):
        got = momentum_at(step, 20_000, momentum=0.996, schedule="run_length")
        wanted = min(momentum_restated(step, 20_000, 0.996), (step + 1) / (step + 10))
        assert got == pytest.approx(wanted, abs=1e-12)


def share_of_the_start(schedule, steps=500):
    teacher, student = nn.Linear(1, 1, bias=False).double(), nn.Linear(1, 1, bias=False).double()
    nn.init.ones_(teacher.weight)
    nn.init.zeros_(student.weight)
    for step in range(steps):
        momentum = momentum_at(step, steps, momentum=0.996, schedule=schedule)
        update_teacher(teacher, student, momentum)
    return teacher.weight.item()


def test_paper_schedule_keeps_37_percent_of_the_start_in_500_steps_and_run_length_none():
    assert share_of_the_start("paper") == pytest.approx(0.37, abs=0.005)
    assert share_of_the_start("run_length") < 1e-6


@pytest.mark.parametrize(("steps", "warmup"), [(600, 20), (1, 0), (7, 20), (10, 0)])
def test_learning_rate_rises_linearly_then_falls_along_a_cosine(steps, warmup):
    rising = min(warmup, steps // 2)
    for step in range(steps):
        if step < rising:
            wanted = 1e-3 * (step + 1) / rising
        else:
            wanted = 1e-3 * 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))
        got = learning_rate_at(step, steps, peak=1e-3, warmup=warmup)
        assert got == pytest.approx(wanted, abs=1e-12)
        assert 0 < got <= 1e-3 + 1e-12

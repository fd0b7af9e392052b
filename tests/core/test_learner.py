import copy

import numpy as np
import pytest
import torch

from napari_medcontext.core.device import Compute
from napari_medcontext.core.learner import Learner
from napari_medcontext.core.losses import consistency, dice_ce
from napari_medcontext.core.sampler import Batch

CPU = Compute(torch.device("cpu"), "float32")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    image = torch.tensor(rng.normal(size=(2, 1, 32, 16, 16)), dtype=torch.float32)
    labels = torch.tensor(rng.integers(0, 3, image.shape), dtype=torch.float32)
    return Batch(image, labels)


@pytest.fixture
def config(tiny_config):
    return tiny_config.updated({"training": {"gradient_clip": 0.0}})


def learner_of(config, axis=2):
    return Learner(config, 3, axis, CPU)


def gradients(learner):
    return [p.grad for p in [*learner.student.parameters(), learner.token.value]]


@pytest.mark.parametrize("one_pass", [False, True], ids=["view by view", "as on a GPU"])
@pytest.mark.parametrize("weight", [0.5, 3.0])
def test_a_step_descends_equation_4(config, batch, weight, one_pass):
    config = config.updated({"objective": {"consistency_weight": weight}})
    learner, restated = learner_of(config), learner_of(config)
    learner._one_pass = one_pass
    result = learner.learn(batch)
    masked = restated.token(batch.image, restated.masks(2, (32, 16, 16)))
    plain_logits, masked_logits = restated.student(batch.image), restated.student(masked)
    parts = {
        "dice_ce": dice_ce(plain_logits, batch.labels),
        "dice_ce_masked": dice_ce(masked_logits, batch.labels),
        "consistency": consistency(masked_logits, restated.teacher(batch.image)),
    }
    (parts["dice_ce"] + parts["dice_ce_masked"] + weight * parts["consistency"]).backward()
    assert set(result.losses) == set(parts)
    for name, part in parts.items():
        assert result.losses[name] == pytest.approx(float(part.detach()), rel=1e-5)
    for one, two in zip(gradients(learner), gradients(restated), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_both_views_come_out_of_one_pass_as_out_of_two(config, batch):
    student = learner_of(config).student
    with torch.no_grad():
        first, second = student(torch.cat([batch.image, -batch.image])).chunk(2)
        torch.testing.assert_close(first, student(batch.image), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(second, student(-batch.image), rtol=1e-5, atol=1e-5)


def test_a_step_moves_student_and_token_and_the_teacher_follows(config, batch):
    learner = learner_of(config)
    before = copy.deepcopy(learner.student.state_dict())
    first = learner.learn(batch)
    assert learner.token.value.abs().sum() > 0
    for name, tensor in learner.teacher.state_dict().items():
        own = learner.student.state_dict()[name]
        wanted = first.momentum * before[name].double() + (1 - first.momentum) * own.double()
        torch.testing.assert_close(tensor.double(), wanted, rtol=1e-5, atol=1e-6)
    learner.learn(batch)
    apart = [
        not torch.equal(t, s)
        for t, s in zip(learner.teacher.parameters(), learner.student.parameters(), strict=True)
    ]
    assert any(apart)


def test_each_sample_and_each_step_has_a_mask_of_its_own(config, batch):
    learner = learner_of(config, axis=1)
    first = learner.masks(2, (32, 16, 16))
    assert first.shape == (2, 1, 32, 16, 16)
    assert not torch.equal(first[0], first[1])
    assert first[0].sum() == first[1].sum()
    assert torch.equal(first, first[:, :, :, :1].expand_as(first))
    assert torch.equal(first, learner.masks(2, (32, 16, 16)))
    learner.step = 1
    assert not torch.equal(first, learner.masks(2, (32, 16, 16)))


def test_supervised_learning_has_one_loss_and_no_teacher(config, batch):
    learner = learner_of(config.updated({"objective": {"method": "supervised"}}))
    assert learner.teacher is None
    result = learner.learn(batch)
    assert set(result.losses) == {"dice_ce"}
    assert result.momentum == 0.0
    assert set(learner.weights()) == {"student"}


def test_learning_the_same_patches_lowers_the_loss(config, batch):
    learner = learner_of(config.updated({"training": {"steps": 12, "warmup_steps": 1}}))
    losses = [learner.learn(batch).losses["dice_ce"] for _ in range(12)]
    assert losses[-1] < losses[0] - 0.05


def test_restored_learner_goes_on_exactly(config, batch):
    learner = learner_of(config)
    learner.learn(batch)
    state = copy.deepcopy((learner.step, learner.weights(), learner.rest()))
    restored = learner_of(config)
    restored.restore(*state)
    assert restored.learn(batch).losses == learner.learn(batch).losses
    assert torch.equal(restored.token.value, learner.token.value)


def test_state_whose_moments_lie_otherwise_in_memory_is_gone_on_with_exactly(config, batch):
    unbroken, resumed = learner_of(config), learner_of(config)
    unbroken.learn(batch)
    weights, rest = copy.deepcopy((unbroken.weights(), unbroken.rest()))
    for moments in rest["optimizer"]["state"].values():
        moments |= {name: value.contiguous() for name, value in moments.items()}
    resumed.restore(1, weights, rest)
    for learner in (unbroken, resumed):
        learner.learn(batch)
    for one, two in zip(unbroken.student.parameters(), resumed.student.parameters(), strict=True):
        torch.testing.assert_close(one, two)

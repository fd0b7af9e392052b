import numpy as np
import pytest
import torch

from napari_medcontext.core.losses import consistency, dice_ce


def dice_ce_restated(logits, labels):
    """Equation 3 as meant, in float64: mean soft Dice loss plus mean cross-entropy."""
    z = logits.astype(np.float64)
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    y = np.stack([labels[:, 0] == k for k in range(z.shape[1])], axis=1).astype(np.float64)
    axes = (2, 3, 4)
    overlap = 2 * (p * y).sum(axes)
    dice = 1 - overlap / ((p**2).sum(axes) + (y**2).sum(axes) + 1e-6)
    cross_entropy = -np.log((p * y).sum(1))
    return dice.mean() + cross_entropy.mean()


def consistency_restated(student, teacher):
    """Equation 2 in float64: one quotient of squared norms a sample, then their mean."""
    s, t = student.astype(np.float64), teacher.astype(np.float64)
    return np.mean([((a - b) ** 2).sum() / (b**2).sum() for a, b in zip(s, t, strict=True)])


@pytest.fixture
def outputs():
    rng = np.random.default_rng(0)
    # The second sample is on another scale, which tells a mean of quotients from their sum.
    scale = np.array([1.0, 20.0])[:, None, None, None, None]
    student = (rng.normal(size=(2, 3, 6, 5, 4)) * scale).astype(np.float32)
    teacher = (rng.normal(size=(2, 3, 6, 5, 4)) * scale[::-1]).astype(np.float32)
    return student, teacher, rng.integers(0, 3, (2, 1, 6, 5, 4))


def test_dice_ce_is_equation_3_as_meant(outputs):
    logits, _, labels = outputs
    loss = dice_ce(torch.tensor(logits), torch.tensor(labels))
    assert float(loss) == pytest.approx(dice_ce_restated(logits, labels), rel=1e-5)


def test_dice_ce_counts_a_class_that_is_absent_as_the_restatement_does(outputs):
    logits, _, labels = outputs
    labels = np.minimum(labels, 1)
    loss = dice_ce(torch.tensor(logits), torch.tensor(labels))
    assert float(loss) == pytest.approx(dice_ce_restated(logits, labels), rel=1e-5)


def test_consistency_is_equation_2(outputs):
    student, teacher, _ = outputs
    loss = consistency(torch.tensor(student), torch.tensor(teacher))
    assert float(loss) == pytest.approx(consistency_restated(student, teacher), rel=1e-5)


def test_consistency_does_not_shrink_with_the_number_of_voxels(outputs):
    student, teacher, _ = outputs
    once = consistency(torch.tensor(student), torch.tensor(teacher))
    tiled = [torch.tensor(np.tile(x, (1, 1, 3, 2, 1))) for x in (student, teacher)]
    assert float(consistency(*tiled)) == pytest.approx(float(once), rel=1e-5)


def test_consistency_gives_the_teacher_no_gradient(outputs):
    student, teacher = (torch.tensor(x, requires_grad=True) for x in outputs[:2])
    consistency(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_consistency_with_a_silent_teacher_is_finite():
    zero = torch.zeros(1, 2, 4, 4, 4)
    assert float(consistency(zero, zero)) == 0.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_of_half_precision_are_computed_in_float32(outputs, dtype):
    student, teacher = (torch.tensor(x).to(dtype) for x in outputs[:2])
    labels = torch.tensor(outputs[2])
    assert dice_ce(student, labels).dtype == torch.float32
    loss = consistency(student * 100, teacher * 100)
    assert loss.dtype == torch.float32
    expected = consistency_restated(
        (student * 100).float().numpy(), (teacher * 100).float().numpy()
    )
    assert float(loss) == pytest.approx(expected, rel=1e-5)

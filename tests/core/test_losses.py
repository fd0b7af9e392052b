import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss

from napari_medcontext.core.classes import UNKNOWN
from napari_medcontext.core.losses import consistency, dice_bce, dice_ce, labels_at


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


MEMBERSHIP = torch.tensor([[False, True, True], [False, False, True], [False, True, False]])
LOSSES = {
    "classes": dice_ce,
    "regions": lambda logits, labels: dice_bce(logits, labels, MEMBERSHIP),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def dice_bce_restated(logits, labels, known):
    """Mean soft Dice loss of the regions plus mean binary cross-entropy, in float64."""
    z = logits.astype(np.float64)
    p = 1 / (1 + np.exp(-z))
    members = MEMBERSHIP.numpy()
    y = np.stack([np.isin(labels[:, 0], np.flatnonzero(row)) for row in members], axis=1)
    y, known = y.astype(np.float64), np.broadcast_to(known, p.shape)
    axes = (2, 3, 4)
    overlap = 2 * (p * y * known).sum(axes)
    dice = 1 - overlap / ((p**2 * known).sum(axes) + (y * known).sum(axes) + 1e-6)
    entropy = np.logaddexp(0, np.where(y == 1, -z, z))
    return dice.mean() + entropy[known].mean()


@pytest.fixture
def sparse(outputs):
    """Labels of which every third slice alone is known, and where it is."""
    known = np.zeros(outputs[2].shape, dtype=bool)
    known[..., ::3] = True
    return np.where(known, outputs[2], UNKNOWN), known


def test_dice_ce_is_monais_where_all_is_known(outputs):
    logits, labels = torch.tensor(outputs[0]), torch.tensor(outputs[2])
    monai = DiceCELoss(
        to_onehot_y=True, softmax=True, squared_pred=True, smooth_nr=0.0, smooth_dr=1e-6
    )
    assert float(dice_ce(logits, labels)) == pytest.approx(float(monai(logits, labels)), rel=1e-6)


def test_loss_of_regions_is_dice_plus_binary_cross_entropy(outputs, sparse):
    logits, _, labels = outputs
    loss = dice_bce(torch.tensor(logits), torch.tensor(labels), MEMBERSHIP)
    assert float(loss) == pytest.approx(dice_bce_restated(logits, labels, True), rel=1e-5)
    partly, known = sparse
    loss = dice_bce(torch.tensor(logits), torch.tensor(partly), MEMBERSHIP)
    assert float(loss) == pytest.approx(dice_bce_restated(logits, partly, known), rel=1e-5)


def test_unknown_voxels_are_as_if_they_had_been_cut_away(outputs, sparse):
    logits = outputs[0]
    loss = dice_ce(torch.tensor(logits), torch.tensor(sparse[0]))
    kept = dice_ce_restated(logits[..., ::3], outputs[2][..., ::3])
    assert float(loss) == pytest.approx(kept, rel=1e-5)


@every_loss
def test_unknown_voxels_get_no_gradient_and_change_no_other(loss, outputs, sparse):
    labels, known = torch.tensor(sparse[0]), torch.tensor(sparse[1])
    logits = torch.tensor(outputs[0], requires_grad=True)
    loss(logits, labels).backward()
    everywhere = known.expand_as(logits)
    assert not logits.grad[~everywhere].any()
    assert logits.grad[everywhere].any()
    moved = torch.where(everywhere, logits.detach(), -7 * logits.detach()).requires_grad_()
    loss(moved, labels).backward()
    assert torch.equal(moved.grad, logits.grad)


@every_loss
def test_unknown_voxels_get_no_gradient_from_any_resolution(loss, outputs, sparse):
    labels = torch.tensor(sparse[0])
    labels[1] = UNKNOWN
    pooled = torch.nn.functional.avg_pool3d(torch.tensor(outputs[0]), 2)
    levels = [torch.tensor(outputs[0]).requires_grad_(), pooled.requires_grad_()]
    total = loss(levels, labels)
    total.backward()
    assert torch.isfinite(total)
    for level in levels:
        assert not level.grad[1].any()
        assert level.grad[0].any()


@every_loss
def test_labels_of_which_nothing_is_known_move_nothing(loss, outputs):
    logits = torch.tensor(outputs[0], requires_grad=True)
    total = loss(logits, torch.full_like(logits[:, :1], UNKNOWN))
    total.backward()
    assert torch.isfinite(total)
    assert not logits.grad.any()


def test_deep_supervision_weighs_each_coarser_output_half_as_much():
    logits = [torch.randn(2, 3, *(8 // part for _ in range(3))) for part in (1, 2, 4)]
    # Cubes of one class each, so that the labels are the same at every resolution.
    coarsest = torch.tensor([[[0, 1], [2, 0]], [[1, 2], [0, 0]]]).expand(2, 1, 2, 2, 2)
    labels = [
        coarsest.repeat_interleave(n, 2).repeat_interleave(n, 3).repeat_interleave(n, 4)
        for n in (4, 2, 1)
    ]
    each = [float(dice_ce(one, truth)) for one, truth in zip(logits, labels, strict=True)]
    wanted = np.average(each, weights=[1, 0.5, 0.25])
    assert float(dice_ce(logits, labels[0])) == pytest.approx(wanted, rel=1e-5)
    assert float(dice_ce(logits[:1], labels[0])) == pytest.approx(each[0], rel=1e-6)


@pytest.mark.parametrize("part", [2, 4])
def test_labels_at_a_lower_resolution_stay_where_they_are(part):
    labels = torch.zeros(1, 1, 16, 12, 8)
    # Its edges lie within the coarser voxels; to take the first old voxel of each would move it.
    labels[:, :, 3:13, 1:11, 1:7] = 2.0
    coarse = labels_at(labels, [side // part for side in labels.shape[2:]])
    assert set(coarse.unique().tolist()) == {0.0, 2.0}
    places = (coarse[0, 0] == 2).nonzero().float().mean(0)
    old = (labels[0, 0] == 2).nonzero().float().mean(0)
    torch.testing.assert_close(part * (places + 0.5) - 0.5, old)


def test_labels_at_a_lower_resolution_keep_sparsely_known_slices():
    labels = torch.full((1, 1, 4, 4, 8), 255.0)
    labels[..., 5] = 1.0
    coarse = labels_at(labels, (2, 2, 4))
    assert (coarse[..., 2] == 1).all()
    assert (coarse[..., [0, 1, 3]] == 255).all()

import copy

import numpy as np
import pytest
import torch

from napari_medcontext.core.classes import UNKNOWN
from napari_medcontext.core.device import Compute
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.learner import Learner
from napari_medcontext.core.losses import consistency, dice_bce, dice_ce
from napari_medcontext.core.method_settings import ObjectiveSettings
from napari_medcontext.core.objective import (
    consistency_weight_at,
    masked_share_at,
    masking_start,
    plan_step,
)
from napari_medcontext.core.sampler import Batch

CPU = Compute(torch.device("cpu"), "float32")
SIZE = (32, 16, 16)
STEPS = 100


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def settings(**values):
    return ObjectiveSettings(**values)


def plan(chosen, labelled, step=0, seed=0):
    return plan_step(chosen, step, STEPS, labelled, np.random.default_rng([seed, step]))


def batch_of(labelled):
    rng = np.random.default_rng(0)
    image = torch.tensor(rng.normal(size=(len(labelled), 1, *SIZE)), dtype=torch.float32)
    labels = torch.tensor(rng.integers(0, 3, image.shape), dtype=torch.float32)
    labels[[not known for known in labelled]] = UNKNOWN
    return Batch(image, labels)


@pytest.fixture
def learner_of(tiny_config):
    def build(membership=None, **objective):
        config = tiny_config.updated({"training": {"gradient_clip": 0.0}, "objective": objective})
        return Learner(config, 3, 2, CPU, membership)

    return build


def masked_views(learner, batch):
    return learner.token(batch.image, learner.masks(len(batch.image), SIZE))


def gradients(learner):
    parameters = [*learner.student.parameters(), learner.token.value]
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]


def assert_same_descent(learner, restated):
    """Compare all gradients as one vector: batches of other sizes round otherwise."""
    one, two = (torch.cat([g.flatten() for g in gradients(x)]) for x in (learner, restated))
    assert two.norm() > 0.01
    assert (one - two).norm() < 1e-3 * two.norm()


def test_by_default_every_patch_is_seen_whole_and_masked_from_the_first_step_on():
    for step in range(STEPS):
        here = plan(settings(), [True] * 3, step)
        assert (here.whole, here.masked) == ((0, 1, 2), (0, 1, 2))
        assert (here.masked_weight, here.consistency_weight) == (1.0, 0.5)


def test_supervised_learning_masks_nothing():
    here = plan(settings(method="supervised"), [True, True])
    assert (here.whole, here.masked, here.consistency_weight) == ((0, 1), (), 0.0)


def test_masking_starts_where_it_shall_and_rises_over_its_ramp():
    chosen = settings(masked_start=0.2, masked_ramp=0.1, masked_share=0.8)
    assert masking_start(chosen, STEPS) == 20
    shares = [masked_share_at(chosen, step, STEPS) for step in range(STEPS)]
    assert shares[:20] == [0.0] * 20
    assert shares[20:30] == pytest.approx([0.08 * k for k in range(1, 11)])
    assert shares[30:] == [0.8] * 70
    assert all(plan(chosen, [True] * 4, step).masked == () for step in range(20))


def test_consistency_weight_rises_from_where_masking_starts():
    chosen = settings(masked_start=0.5, consistency_ramp=0.25, consistency_weight=2.0)
    weights = [consistency_weight_at(chosen, step, STEPS) for step in range(STEPS)]
    assert weights[:50] == [0.0] * 50
    assert weights[50:75] == pytest.approx([2.0 * k / 25 for k in range(1, 26)])
    assert weights[75:] == [2.0] * 25
    assert plan(chosen, [True], 60).consistency_weight == weights[60]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("views", ["one", "two"])
def test_share_of_masked_patches_holds_on_average_and_falls_on_all_alike(views, share):
    chosen = settings(masked_share=share, views=views)
    times = np.zeros(4)
    for seed in range(1500):
        here = plan(chosen, [True] * 4, seed=seed)
        assert len(here.masked) in (int(4 * share), int(4 * share) + 1)
        times[list(here.masked)] += 1
        both = set(here.whole) & set(here.masked)
        assert both == (set() if views == "one" else set(here.masked))
        assert set(here.whole) | set(here.masked) == {0, 1, 2, 3}
    assert times / 1500 == pytest.approx(share, abs=0.05)


def test_patches_without_labels_are_seen_masked_alone_and_only_while_the_teacher_has_a_say():
    labelled = [True, False, True]
    assert plan(settings(), labelled).whole == (0, 2)
    assert plan(settings(), labelled).masked == (0, 1, 2)
    some = plan(settings(masked_share=0.5), labelled)
    assert 1 in some.masked
    assert len(some.masked) == 2
    assert plan(settings(masked_start=0.5), labelled, 10).masked == ()
    assert 1 not in plan(settings(consistency_weight=0.0), labelled).masked


def test_one_view_that_is_not_to_learn_from_labels_is_refused(tiny_config):
    with pytest.raises(SettingsError, match="masked loss weight must be above 0"):
        tiny_config.updated({"objective": {"views": "one", "masked_weight": 0.0}})


def test_without_consistency_there_is_no_teacher_and_no_such_loss(learner_of):
    batch = batch_of([True, True])
    learner, restated = (learner_of(consistency_weight=0.0) for _ in range(2))
    assert learner.teacher is None
    result = learner.learn(batch)
    assert set(result.losses) == {"dice_ce", "dice_ce_masked"}
    assert set(learner.weights()) == {"student"}
    whole = dice_ce(restated.student(batch.image), batch.labels)
    (whole + dice_ce(restated.student(masked_views(restated, batch)), batch.labels)).backward()
    assert_same_descent(learner, restated)


def test_without_the_masked_loss_the_masked_view_learns_from_the_teacher_alone(learner_of):
    batch = batch_of([True, True])
    learner, restated = (learner_of(masked_weight=0.0) for _ in range(2))
    result = learner.learn(batch)
    assert set(result.losses) == {"dice_ce", "consistency"}
    whole = dice_ce(restated.student(batch.image), batch.labels)
    masked = restated.student(masked_views(restated, batch))
    (whole + 0.5 * consistency(masked, restated.teacher(batch.image))).backward()
    assert_same_descent(learner, restated)


def test_with_both_masked_losses_off_learning_is_supervised(learner_of):
    batch = batch_of([True, True])
    learner = learner_of(masked_weight=0.0, consistency_weight=0.0)
    supervised = learner_of(method="supervised")
    assert learner.learn(batch).losses == supervised.learn(batch).losses
    assert_same_descent(learner, supervised)


def test_teacher_that_is_asked_for_follows_though_no_loss_needs_it(learner_of):
    learner = learner_of(consistency_weight=0.0, keep_teacher=True)
    before = copy.deepcopy(learner.teacher.state_dict())
    result = learner.learn(batch_of([True, True]))
    assert set(result.losses) == {"dice_ce", "dice_ce_masked"}
    assert 0 < result.momentum < 1
    own = learner.student.state_dict()
    for name, tensor in learner.teacher.state_dict().items():
        wanted = result.momentum * before[name] + (1 - result.momentum) * own[name]
        torch.testing.assert_close(tensor, wanted, rtol=1e-5, atol=1e-6)
    assert any(not torch.equal(t, own[k]) for k, t in learner.teacher.state_dict().items())


def test_before_masking_starts_a_step_descends_the_supervised_loss_alone(learner_of):
    batch = batch_of([True, True])
    learner, supervised = learner_of(masked_start=0.5), learner_of(method="supervised")
    assert learner.teacher is not None
    for step in range(4):
        losses = learner.learn(batch).losses
        if step < 2:
            assert losses == supervised.learn(batch).losses
            assert_same_descent(learner, supervised)
    assert set(losses) == {"dice_ce", "dice_ce_masked", "consistency"}


def test_on_a_share_of_the_patches_the_masked_losses_are_means_over_those(learner_of):
    batch = batch_of([True, True])
    learner, restated = (learner_of(masked_share=0.5) for _ in range(2))
    result = learner.learn(batch)
    whole = dice_ce(restated.student(batch.image), batch.labels)
    totals = []
    for index in ([0], [1]):
        masked = restated.student(masked_views(restated, batch)[index])
        labelled = dice_ce(masked, batch.labels[index])
        agreed = consistency(masked, restated.teacher(batch.image[index]))
        if float(labelled.detach()) == pytest.approx(result.losses["dice_ce_masked"], rel=1e-5):
            assert float(agreed.detach()) == pytest.approx(result.losses["consistency"], rel=1e-5)
            totals.append(whole + labelled + 0.5 * agreed)
    (total,) = totals
    total.backward()
    assert_same_descent(learner, restated)


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_one_view_is_one_supervised_loss_over_whole_and_masked_patches(learner_of, weight):
    batch = batch_of([True, True, True])
    objective = {"views": "one", "masked_share": 0.4, "consistency_weight": 0.0}
    objective["masked_weight"] = weight
    learner, restated = learner_of(**objective), learner_of(**objective)
    result = learner.learn(batch)
    assert learner.teacher is None
    assert set(result.losses) == {"dice_ce", "dice_ce_masked"}
    masked = masked_views(restated, batch)
    possible = []
    for chosen in ([0], [1], [2], [0, 1], [0, 2], [1, 2]):
        whole = [index for index in range(3) if index not in chosen]
        view = torch.cat([batch.image[whole], masked[chosen]])
        logits = restated.student(view)
        plain = dice_ce(logits[: len(whole)], batch.labels[whole])
        hidden = dice_ce(logits[len(whole) :], batch.labels[chosen])
        if float(plain.detach()) == pytest.approx(result.losses["dice_ce"], rel=1e-5):
            assert float(hidden.detach()) == pytest.approx(
                result.losses["dice_ce_masked"], rel=1e-5
            )
            possible.append((len(whole) * plain + weight * len(chosen) * hidden) / 3)
    (total,) = possible
    total.backward()
    assert_same_descent(learner, restated)


def test_patches_without_labels_teach_through_consistency_alone(learner_of):
    batch = batch_of([True, False])
    learner, restated = learner_of(), learner_of()
    result = learner.learn(batch)
    masked = restated.student(masked_views(restated, batch))
    parts = {
        "dice_ce": dice_ce(restated.student(batch.image[:1]), batch.labels[:1]),
        "dice_ce_masked": dice_ce(masked[:1], batch.labels[:1]),
        "consistency": consistency(masked, restated.teacher(batch.image)),
    }
    assert set(result.losses) == set(parts)
    for name, part in parts.items():
        assert result.losses[name] == pytest.approx(float(part.detach()), rel=1e-5)
    (parts["dice_ce"] + parts["dice_ce_masked"] + 0.5 * parts["consistency"]).backward()
    assert_same_descent(learner, restated)


def test_batch_of_which_nothing_is_known_moves_nothing(learner_of):
    learner = learner_of(method="supervised")
    learner.learn(batch_of([False, False]))
    assert all(not gradient.any() for gradient in gradients(learner))


def test_regions_are_learned_with_their_own_loss_in_both_views(learner_of):
    batch = batch_of([True, True])
    membership = np.array([[0, 1, 1], [0, 0, 1], [0, 1, 0]], dtype=bool)
    learner, restated = learner_of(membership), learner_of(membership)
    result = learner.learn(batch)
    table = torch.tensor(membership)
    masked = restated.student(masked_views(restated, batch))
    parts = {
        "dice_ce": dice_bce(restated.student(batch.image), batch.labels, table),
        "dice_ce_masked": dice_bce(masked, batch.labels, table),
        "consistency": consistency(masked, restated.teacher(batch.image)),
    }
    for name, part in parts.items():
        assert result.losses[name] == pytest.approx(float(part.detach()), rel=1e-5)
    (parts["dice_ce"] + parts["dice_ce_masked"] + 0.5 * parts["consistency"]).backward()
    assert_same_descent(learner, restated)


@pytest.mark.parametrize(
    "objective",
    [
        {"masked_share": 0.5},
        {"masked_ramp": 1.0, "consistency_ramp": 1.0},
        {"views": "one", "masked_share": 0.5, "consistency_weight": 0.0},
    ],
)
def test_restored_learner_goes_on_exactly(learner_of, objective):
    batch = batch_of([True, True])
    learner = learner_of(**objective)
    learner.learn(batch)
    state = copy.deepcopy((learner.step, learner.weights(), learner.rest()))
    restored = learner_of(**objective)
    restored.restore(*state)
    for _ in range(2):
        assert restored.learn(batch).losses == learner.learn(batch).losses

import math

import numpy as np
import pytest

from napari_medcontext.core.study.statistics import (
    METRICS,
    bootstrap_interval,
    holm,
    least_p,
    paired,
    sign_flip_p,
    verdict,
)


def differences(*values, seeds=(0, 1)):
    """Return the difference of a method that is ahead by these values in as many cases."""
    first = {(seed, f"case {n}"): v for seed in seeds for n, v in enumerate(values)}
    return paired(first, dict.fromkeys(first, 0.0))


def judged(difference, metric="dsc", comparisons=1):
    p = min(1.0, comparisons * difference.p)
    return verdict(difference, "new", "old", METRICS[metric], p, comparisons)


def test_p_is_the_share_of_sign_patterns_that_are_as_far_from_nothing():
    assert sign_flip_p([1, 2, 3]) == 2 / 8
    assert sign_flip_p([1, 2, -3]) == 1.0
    assert sign_flip_p([4, 2, -1]) == 4 / 8  # 5 or more, or as low: + + -, + + +, and mirrored
    assert sign_flip_p([]) == 1.0


def test_p_of_many_cases_is_near_the_exact_one_and_never_zero():
    rng = np.random.default_rng(0)
    values = rng.normal(0.3, 1, size=16)
    more = np.concatenate([values, [0.0]])  # a case without a difference changes no p
    assert sign_flip_p(more) == pytest.approx(sign_flip_p(values), abs=0.02)
    assert 0 < sign_flip_p(np.full(40, 1.0)) < 0.001


@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
def test_five_cases_never_tell_methods_apart_however_far_they_are(size):
    told = judged(differences(*[size] * 5))
    assert told.word == "cannot tell"
    assert "5 cases can never show p < 0.05, the smallest is 0.0625" in told.text
    assert "ahead in 5 of 5 cases" in told.text
    assert least_p(5) == 0.0625


def test_clear_difference_of_ten_cases_is_told_with_its_direction():
    ten = np.linspace(1, 3, 10)
    assert judged(differences(*ten)).word == "better"
    assert judged(differences(*-ten)).word == "worse"
    assert judged(differences(*ten), "hd95_mm").word == "worse"
    assert judged(differences(*-ten), "hd95_mm").word == "better"
    assert "all 2 seeds agree" in judged(differences(*ten)).text
    assert "one seed only" in judged(differences(*ten, seeds=(0,))).text


def test_unclear_difference_of_ten_cases_is_not_told():
    told = judged(differences(*[1, -1.1, 2, -2, 0.5, -0.4, 1, -0.9, 0.3, -0.2]))
    assert told.word == "cannot tell"
    assert "p = " in told.text


def test_many_comparisons_at_once_need_more_cases():
    six = differences(*[1.0] * 6)
    assert judged(six).word == "better"
    told = judged(six, comparisons=4)
    assert told.word == "cannot tell"
    assert "6 cases among 4 comparisons can never show p < 0.05, the smallest is 0.125" in told.text


def test_seeds_that_disagree_settle_nothing():
    cases = range(12)
    first = {(seed, f"c{n}"): v for seed, v in ((0, 5.0), (1, -1.0)) for n in cases}
    told = judged(paired(first, dict.fromkeys(first, 0.0)))
    assert told.word == "cannot tell"
    assert "the 2 seeds disagree" in told.text


def test_nothing_in_common_is_said_so():
    told = judged(paired({(0, "a"): 1.0}, {(0, "b"): 1.0}))
    assert "no case was scored with both" in told.text


def test_difference_takes_what_both_have_and_averages_seeds_first():
    first = {(0, "a"): 3.0, (1, "a"): 5.0, (0, "b"): 1.0, (0, "c"): math.nan}
    second = {(0, "a"): 1.0, (1, "a"): 1.0, (0, "b"): 2.0, (0, "c"): 1.0, (0, "d"): 1.0}
    difference = paired(first, second)
    assert difference.by_case == {"a": 3.0, "b": -1.0}
    assert difference.by_seed == {0: 0.5, 1: 4.0}
    assert difference.mean == 1.0


def test_interval_holds_the_mean_and_is_none_for_one_case():
    low, high = bootstrap_interval([1.0, 2.0, 3.0, 4.0])
    assert 1.0 <= low < 2.5 < high <= 4.0
    assert bootstrap_interval([2.0, 2.0]) == (2.0, 2.0)
    assert all(math.isnan(side) for side in bootstrap_interval([1.0]))


def test_holm_multiplies_the_smallest_by_all_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []

"""A training whose loss explodes ends with numbers, and the model keeps its last good epoch."""

import math

import pytest

from elephant.errors import DivergedError
from elephant.training.loop import Divergence


def test_a_loss_of_nan_ends_it_at_once() -> None:
    divergence = Divergence()
    divergence.check(1.5, 1, 0.5)
    divergence.check(40.0, 1, 0.5)
    words = (
        r"rose from 1\.5 to nan in epoch 3, with a learning rate \(lr\) of 0\.5\..*last good epoch, epoch 2: .*smaller"
    )
    with pytest.raises(DivergedError, match=words):
        divergence.check(math.nan, 3, 0.5)
    with pytest.raises(DivergedError, match=r"its loss rose to inf in epoch 1.*what it held before"):
        Divergence().check(math.inf, 1, 0.5)


def test_an_epoch_may_be_ten_times_as_bad_as_the_start() -> None:
    divergence = Divergence()
    divergence.check(0.02, 1, 0.5)
    divergence.check(4.9, 2, 0.5, is_mean=True)
    with pytest.raises(DivergedError, match=r"from 0\.02 to 5\.1"):
        divergence.check(5.1, 2, 0.5, is_mean=True)
    large = Divergence()
    large.check(300.0, 1, 0.5)
    large.check(2900.0, 1, 0.5, is_mean=True)
    with pytest.raises(DivergedError, match=r"from 300 to 3100"):
        large.check(3100.0, 1, 0.5, is_mean=True)

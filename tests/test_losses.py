import math
from decimal import Decimal, getcontext

import pytest
import torch
from pydantic import ValidationError

from facegan.losses import NonSaturating, Saturating

getcontext().prec = 60  # so that log(1 - D) is a number when D is 1 - 1e-13
LOGITS = [-30.0, -12.5, -3.0, -0.7, 0.0, 0.2, 1.0, 4.0, 15.0, 30.0]
EXTREMES = [-1e4, -200.0, -30.0, 30.0, 200.0, 1e4]


def probability(logit):
    """D(x) = 1 / (1 + e^-l), to 60 digits."""
    return 1 / (1 + (-Decimal(logit)).exp())


def mean(values):
    return float(sum(values) / len(values))


def cross_entropy(y, p):
    """-[y log p + (1 - y) log(1 - p)], as the textbook has it."""
    y = Decimal(str(y))
    return -(y * p.ln() + (1 - y) * (1 - p).ln())


def logits(values=LOGITS, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_d_loss_is_the_cross_entropy_with_real_labels_smoothed_and_fake_labels_zero(smoothing):
    real, fake = logits(), logits([value + 0.5 for value in LOGITS[::-1]])
    loss = NonSaturating(label_smoothing=smoothing).discriminator(real, fake)
    assert loss.real.item() == pytest.approx(
        mean([cross_entropy(round(1 - smoothing, 3), probability(value)) for value in LOGITS]), rel=1e-9
    )
    assert loss.fake.item() == pytest.approx(
        mean([cross_entropy(0, probability(value + 0.5)) for value in LOGITS]), rel=1e-9
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_d_loss_equals_torch_bceloss_on_probabilities(smoothing):
    real, fake = logits([-3.0, 0.3, 2.0]), logits([-1.0, 0.0, 2.5])
    loss = NonSaturating(label_smoothing=smoothing).discriminator(real, fake)
    bce = torch.nn.BCELoss()
    torch.testing.assert_close(loss.real, bce(real.sigmoid(), torch.full_like(real, 1 - smoothing)))
    torch.testing.assert_close(loss.fake, bce(fake.sigmoid(), torch.zeros_like(fake)))


def test_nonsaturating_g_loss_is_minus_log_d():
    loss = NonSaturating().generator(logits(), logits())
    assert loss.item() == pytest.approx(mean([-probability(value).ln() for value in LOGITS]), rel=1e-9)


def test_saturating_g_loss_is_log_of_one_minus_d():
    loss = Saturating().generator(logits(), logits())
    assert loss.item() == pytest.approx(mean([(1 - probability(value)).ln() for value in LOGITS]), rel=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_d_gradients_are_d_minus_the_label(smoothing):
    # d/dl of the cross-entropy is sigmoid(l) - y, at any l; the mean over the batch divides it by N.
    real, fake = logits(), logits()
    sum(NonSaturating(label_smoothing=smoothing).discriminator(real, fake)).backward()
    D = [float(probability(value)) for value in LOGITS]
    assert real.grad.tolist() == pytest.approx([(p - (1 - smoothing)) / len(D) for p in D], rel=1e-7, abs=1e-10)
    assert fake.grad.tolist() == pytest.approx([p / len(D) for p in D], rel=1e-7, abs=1e-15)


def test_g_gradients_vanish_where_d_is_sure_of_the_fakes_only_when_saturating():
    # Non-saturating: D - 1. Saturating: -D, which is nothing where D(G(z)) is near 0.
    plain, saturating = logits(), logits()
    NonSaturating().generator(plain, logits()).backward()
    Saturating().generator(saturating, logits()).backward()
    D = [float(probability(value)) for value in LOGITS]
    rest = [float(1 - probability(value)) for value in LOGITS]
    assert plain.grad.tolist() == pytest.approx([-q / len(D) for q in rest], rel=1e-7, abs=1e-12)
    assert saturating.grad.tolist() == pytest.approx([-p / len(D) for p in D], rel=1e-7, abs=1e-12)
    assert abs(saturating.grad[0] / plain.grad[0]) == pytest.approx(math.exp(-30), rel=1e-3)


@pytest.mark.parametrize("loss", [NonSaturating(), NonSaturating(label_smoothing=0.1), Saturating()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_and_gradients_stay_finite_at_any_logit(loss, dtype):
    real, fake, judged = logits(EXTREMES, dtype), logits(EXTREMES, dtype), logits(EXTREMES, dtype)
    total = sum(loss.discriminator(real, fake)) + loss.generator(judged, real)
    total.backward()
    assert total.isfinite()
    assert all(tensor.grad.isfinite().all() for tensor in (real, fake, judged))


def test_g_is_pushed_hard_by_fakes_that_d_is_sure_of_in_float32():
    fake = logits([-30.0, -200.0], torch.float32)
    NonSaturating().generator(fake, fake.detach()).backward()
    assert fake.grad.tolist() == [-0.5, -0.5]


def test_d_sees_the_equilibrium_at_a_half():
    zero = torch.zeros(4, dtype=torch.float64)
    loss = NonSaturating().discriminator(zero, zero)
    assert sum(loss).item() == pytest.approx(2 * math.log(2))
    assert NonSaturating().generator(zero, zero).item() == pytest.approx(math.log(2))
    assert Saturating().generator(zero, zero).item() == pytest.approx(-math.log(2))


def test_label_smoothing_changes_only_the_real_term_of_d():
    real, fake = logits(), logits([1.0] * len(LOGITS))
    plain, smooth = NonSaturating(), NonSaturating(label_smoothing=0.1)
    assert plain.discriminator(real, fake).real != smooth.discriminator(real, fake).real
    assert plain.discriminator(real, fake).fake == smooth.discriminator(real, fake).fake
    assert plain.generator(fake, real) == smooth.generator(fake, real)
    assert Saturating(label_smoothing=0.1).generator(fake, real) == Saturating().generator(fake, real)


def test_smoothed_labels_are_met_at_d_of_nine_tenths():
    real = logits([math.log(9.0)])  # D(x) = 0.9
    NonSaturating(label_smoothing=0.1).discriminator(real, real.detach()).real.backward()
    assert real.grad.item() == pytest.approx(0, abs=1e-12)


def test_both_losses_share_d_and_differ_for_g():
    real, fake = logits(), logits(LOGITS[::-1])
    assert NonSaturating().discriminator(real, fake) == Saturating().discriminator(real, fake)
    assert NonSaturating().generator(fake, real) != Saturating().generator(fake, real)


def test_g_loss_does_not_look_at_the_real_logits():
    fake = logits()
    for loss in (NonSaturating(), Saturating()):
        assert loss.generator(fake, logits()) == loss.generator(fake, logits([5.0] * len(LOGITS)))


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 2.0])
def test_label_smoothing_outside_zero_to_one_is_refused(smoothing):
    with pytest.raises(ValidationError):
        NonSaturating(label_smoothing=smoothing)

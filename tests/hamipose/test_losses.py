import pytest
import torch

from hamipose.losses import bernoulli_kl, consistency, heatmap_kl, heatmap_mse, small_losses

SHAPE = (3, 5, 6, 7)


def reference_mse(predicted, target, weight, reduction):
    """Compute the definition cell by cell."""
    batch, keypoints, height, width = predicted.shape
    losses = torch.zeros(keypoints, dtype=torch.float64)
    for n in range(batch):
        for k in range(keypoints):
            for y in range(height):
                for x in range(width):
                    error = 0.5 * float(predicted[n, k, y, x] - target[n, k, y, x]) ** 2
                    losses[k] += error * float(weight[n, k, y, x])
    return (losses / (predicted.numel() if reduction == "mean" else batch)).float()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", ["none", "visibility", "visible", "mask", "known"])
def test_mse_equals_a_loop_over_cells(reduction, kind):
    predicted, target = torch.randn(2, *SHAPE)
    weight = {
        "none": None,
        "visibility": torch.rand(3, 5),
        "visible": torch.rand(3, 5) > 0.5,
        "mask": torch.rand(*SHAPE),
        "known": torch.rand(3, 1, 6, 7) > 0.5,
    }[kind]
    full = torch.ones(SHAPE) if weight is None else weight.float()
    full = full[..., None, None].expand(SHAPE) if full.ndim == 2 else full.expand(SHAPE)
    torch.testing.assert_close(
        heatmap_mse(predicted, target, weight, reduction), reference_mse(predicted, target, full, reduction)
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_bernoulli_kl_equals_that_of_torch_distributions(reduction):
    logits, target, cells = torch.randn(SHAPE), torch.rand(SHAPE), torch.rand(SHAPE)
    target[0], target[1] = 0.0, 1.0  # without entropy
    normalizer = logits.numel() if reduction == "mean" else len(logits)
    wanted, found = torch.distributions.Bernoulli(target), torch.distributions.Bernoulli(logits=logits)
    each = torch.distributions.kl_divergence(wanted, found)
    torch.testing.assert_close(
        bernoulli_kl(logits, target, cells, reduction), (each * cells).sum((0, 2, 3)) / normalizer
    )
    weight = cells[:, :, 0, 0]
    expected = (each.sum((2, 3)) * weight).sum(0) / normalizer
    torch.testing.assert_close(bernoulli_kl(logits, target, weight, reduction), expected)


def test_bernoulli_kl_has_the_difference_of_the_maps_as_gradient():
    logits = (4 * torch.randn(SHAPE)).requires_grad_()
    target = torch.rand(SHAPE)
    (gradient,) = torch.autograd.grad(bernoulli_kl(logits, target, reduction="sum").sum(), logits)
    torch.testing.assert_close(gradient, (logits.detach().sigmoid() - target) / len(logits))
    same = bernoulli_kl(logits, logits.detach().sigmoid())
    assert float(same.abs().max()) < 1e-6
    (gradient,) = torch.autograd.grad(same.sum(), logits)
    assert float(gradient.abs().max()) < 1e-9


def test_sum_over_keypoints_is_half_the_mean_squared_error():
    predicted, target = torch.randn(2, *SHAPE)
    torch.testing.assert_close(
        heatmap_mse(predicted, target).sum(), torch.nn.functional.mse_loss(predicted, target) / 2
    )


def test_sum_is_half_the_squared_norm_per_image():
    predicted, target = torch.randn(2, *SHAPE)
    norms = (predicted - target).flatten(1).norm(dim=1).square()
    torch.testing.assert_close(heatmap_mse(predicted, target, reduction="sum").sum(), norms.mean() / 2)


def test_a_keypoint_sees_its_own_channel_only():
    predicted = torch.randn(SHAPE, requires_grad=True)
    losses = heatmap_mse(predicted, torch.zeros(SHAPE))
    (gradient,) = torch.autograd.grad(losses[2], predicted)
    assert gradient[:, 2].abs().min() > 0
    assert gradient[:, [0, 1, 3, 4]].eq(0).all()


def test_masked_cells_have_no_gradient():
    predicted = torch.randn(SHAPE, requires_grad=True)
    known = torch.rand(3, 1, 6, 7) > 0.5
    consistency(predicted, torch.zeros(SHAPE), known).sum().backward()
    assert torch.equal(predicted.grad != 0, known.expand(SHAPE))


def test_no_gradient_reaches_the_teacher():
    student, teacher = torch.randn(2, *SHAPE).requires_grad_().unbind()
    teacher = teacher.detach().requires_grad_()
    consistency(student, teacher).sum().backward()
    assert teacher.grad is None


@pytest.mark.parametrize("weight", [None, torch.zeros(3, 5), torch.zeros(3, 1, 6, 7)])
def test_nan_stays_nan_under_a_weight_of_zero(weight):
    predicted = torch.zeros(SHAPE)
    predicted[1, 3, 2, 2] = float("nan")
    losses = heatmap_mse(predicted, torch.zeros(SHAPE), weight)
    assert losses.isnan().tolist() == [False, False, False, True, False]


def test_half_precision_is_summed_in_single_precision():
    predicted = torch.full((1, 1, 64, 64), 1.0).bfloat16()
    loss = heatmap_mse(predicted, torch.zeros(1, 1, 64, 64), reduction="sum")
    assert loss.dtype == torch.float32
    assert loss.item() == 64 * 64 / 2


@pytest.mark.parametrize(
    "loss",
    [
        heatmap_mse,
        consistency,
        lambda predicted, target: heatmap_kl(predicted, target, epsilon=1e-7),
        lambda predicted, target: small_losses(predicted, target, torch.ones(SHAPE[:2]), 3),
    ],
)
def test_double_precision_stays_double(loss):
    predicted, target = torch.randn(SHAPE).double(), torch.rand(SHAPE).double()
    exact = loss(predicted, target)
    assert exact.dtype == torch.float64
    assert (loss(predicted * (1 + 1e-10), target) != exact).all()  # both inputs are the same in single precision
    torch.testing.assert_close(exact, loss(predicted.float(), target.float()).double(), atol=1e-5, rtol=1e-5)


def test_an_unknown_reduction_raises():
    with pytest.raises(Exception, match="reduction"):
        heatmap_mse(torch.zeros(SHAPE), torch.zeros(SHAPE), reduction="median")


def reference_kl(predicted, target, epsilon):
    """Compute the definition cell by cell, as mean over images and keypoints."""
    total = 0.0
    count = predicted.shape[0] * predicted.shape[1]
    for image in range(predicted.shape[0]):
        for k in range(predicted.shape[1]):
            p = (target[image, k] + epsilon).flatten().double()
            p = p / p.sum()
            q = predicted[image, k].flatten().double().exp()
            q = q / q.sum()
            total += sum(float(a * (a / b).log()) for a, b in zip(p, q, strict=True) if a > 0)
    return total / count


@pytest.mark.parametrize("epsilon", [0.0, 1e-7])
def test_kl_equals_the_definition(epsilon: float):
    predicted, target = torch.randn(3, 4, 5, 6), torch.rand(3, 4, 5, 6) * (torch.rand(3, 4, 5, 6) > 0.3)
    assert float(heatmap_kl(predicted, target, epsilon=epsilon).sum()) == pytest.approx(
        reference_kl(predicted, target, epsilon), rel=1e-5
    )


def test_kl_is_invariant_to_constants_and_zero_at_the_logarithm():
    target = torch.rand(2, 3, 5, 5) + 0.1
    predicted = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(heatmap_kl(predicted, target), heatmap_kl(predicted + 30, 7 * target), rtol=1e-4, atol=0)
    assert heatmap_kl(target.log() + 5, target).abs().max() < 1e-6


def test_kl_of_an_unlabeled_keypoint_is_zero():
    """A map of zeros is not a density, but neither its loss nor its gradient is NaN."""
    predicted = torch.randn(2, 3, 4, 4, requires_grad=True)
    target = torch.rand(2, 3, 4, 4)
    target[:, 1] = 0
    weight = torch.ones(2, 3)
    weight[:, 1] = 0
    losses = heatmap_kl(predicted, target, weight)
    losses.sum().backward()
    assert losses[1] == 0
    assert not predicted.grad[:, 1].any()
    assert predicted.grad[:, 0].any()
    assert torch.isfinite(predicted.grad).all()


@pytest.mark.parametrize("kept", [1, 3, 5])
def test_small_losses_equal_a_sort(kept: int):
    predicted, target = torch.randn(4, 5, 6, 6), torch.rand(4, 5, 6, 6)
    weight = (torch.rand(4, 5) > 0.3).float()
    total = 0.0
    for image in range(4):
        losses = []
        for k in range(5):
            if weight[image, k]:
                losses.append(float(0.5 * (predicted[image, k] - target[image, k]).square().mean()))
        total += sum(sorted(losses)[:kept])
    assert float(small_losses(predicted, target, weight, kept).sum()) == pytest.approx(total / (4 * kept), rel=1e-5)

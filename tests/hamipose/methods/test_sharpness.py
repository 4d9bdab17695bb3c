"""SAM, SAGM and PGDA: points of a step's gradients, in a step of a tiny network."""

import pytest
import torch

from hamipose.methods import PGDA, SAGM, SAM
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.parts.sharpness import length
from hamipose.methods.pgda import toward
from hamipose.types import SourceBatch, TargetBatch, TrainBatch

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])
STEP = TrainingOptions(warmup_steps=0, reduction="sum")


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def batch() -> TrainBatch:
    images = torch.randint(0, 256, (3, 4, 3, 32, 32), dtype=torch.uint8)
    points = torch.rand(4, 16, 2) * 32
    source = SourceBatch(images[0], points, torch.full((4, 16), 2), ["a"] * 4, torch.zeros(4, dtype=torch.int64))
    same = torch.eye(2, 3).expand(4, 2, 3)
    straight = torch.zeros(4, dtype=torch.bool)
    return TrainBatch(source, TargetBatch(images[1], images[2], same, same, straight, straight, ["b"] * 4))


def ready(method):
    """Prepare a method for backward passes without a trainer, with a last layer that is not almost zero."""
    torch.nn.init.normal_(method.network.final.weight, std=0.1)
    method.manual_backward = torch.Tensor.backward
    method.train()
    return method


def flat(vectors) -> torch.Tensor:
    return torch.cat([v.detach().flatten() for v in vectors])


def plain(method, given: TrainBatch) -> torch.Tensor:
    """Return the gradient of the source loss at the current parameters, and restore BatchNorm statistics."""
    state = {k: v.clone() for k, v in method.network.state_dict().items()}
    gradient = torch.autograd.grad(method.forward_source(given.source).losses.sum(), list(method.network.parameters()))
    method.network.load_state_dict(state)
    return flat(gradient)


def at(method, given: TrainBatch, vector: torch.Tensor) -> torch.Tensor:
    """Return that gradient at θ + v."""
    parameters = list(method.network.parameters())
    before = [p.detach().clone() for p in parameters]
    torch.nn.utils.vector_to_parameters(flat(parameters) + vector, parameters)
    gradient = plain(method, given)
    for p, b in zip(parameters, before, strict=True):
        p.data.copy_(b)
    return gradient


class Places:
    """Record the parameters at each pass of source images."""

    def __init__(self, method):
        self.seen = []
        learn = method.forward_source
        method.forward_source = lambda source: (self.seen.append(flat(method.network.parameters())), learn(source))[1]


def test_sam_second_pass_is_at_distance_rho_along_the_gradient():
    method, given = ready(SAM(sgd, TINY, STEP, radius=0.05)), batch()
    start, gradient = flat(method.network.parameters()), plain(method, given)
    expected = at(method, given, 0.05 * gradient / gradient.norm())
    places = Places(method)
    method.compute_gradients(given)
    first, second = places.seen
    assert torch.equal(first, start)
    torch.testing.assert_close((second - start).norm(), torch.tensor(0.05), rtol=1e-3, atol=0)
    assert torch.cosine_similarity(second - start, gradient, dim=0) > 0.999
    assert torch.equal(flat(method.network.parameters()), start)  # exactly
    torch.testing.assert_close(flat(p.grad for p in method.network.parameters()), expected, rtol=1e-3, atol=5e-5)
    assert (expected - gradient).norm() > 0.01 * gradient.norm()


@pytest.mark.parametrize("build", [SAM, SAGM, PGDA])
def test_running_statistics_are_updated_once_per_batch(build):
    method = ready(build(sgd, TINY, STEP))
    method.compute_gradients(batch())
    counts = {int(v) for k, v in method.network.named_buffers() if k.endswith("num_batches_tracked")}
    assert counts == ({2} if build is PGDA else {1})  # once for each domain


def test_sam_and_sagm_without_radius_are_plain_descent():
    given = batch()
    for method in (SAM(sgd, TINY, STEP, radius=0.0), SAGM(sgd, TINY, STEP, radius=0.0, alignment=0.0)):
        ready(method)
        expected = plain(method, given)
        method.compute_gradients(given)
        torch.testing.assert_close(flat(p.grad for p in method.network.parameters()), expected, rtol=1e-4, atol=1e-6)


def test_sagm_gradient_is_the_mean_of_two_gradients():
    method, given = ready(SAGM(sgd, TINY, STEP, radius=0.05, alignment=0.01)), batch()
    here = plain(method, given)
    there = at(method, given, (0.05 / here.norm() - 0.01) * here)
    method.compute_gradients(given)
    torch.testing.assert_close(
        flat(p.grad for p in method.network.parameters()), (here + there) / 2, rtol=1e-3, atol=1e-5
    )


def test_zero_gradient_has_no_displacement():
    given = batch()
    given.source.visibility.zero_()
    for build in (SAM, SAGM):
        method = ready(build(sgd, TINY, STEP))
        method.compute_gradients(given)
        assert all(p.grad.eq(0).all() for p in method.network.parameters())


# --- PGDA


def test_toward_follows_sharpness_and_agreement():
    r"""To first order L(θ + v) = L + ρ n − a cos, the paper's objective."""
    own, other = ([torch.randn(3, 4, dtype=torch.float64), torch.randn(5, dtype=torch.float64)] for _ in range(2))
    v = flat(toward(own, other, radius=0.3, alignment=0.7))
    g, h = flat(own), flat(other)
    cosine = g @ h / (g.norm() * h.norm())
    torch.testing.assert_close(g @ v, 0.3 * g.norm() - 0.7 * cosine)
    torch.testing.assert_close(length(toward(own, other, 0.3, 0.0)), torch.tensor(0.3, dtype=torch.float64))
    still = toward([torch.zeros(3)], [torch.zeros(3)], 0.3, 0.7)
    assert still[0].eq(0).all()


def domains_gradients(method, given: TrainBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return g_S and g_T at the current parameters."""
    state = {k: v.clone() for k, v in method.network.state_dict().items()}
    parameters = list(method.network.parameters())
    source = flat(torch.autograd.grad(method.forward_source(given.source).losses.sum(), parameters))
    taught, known, _ = method.adaptation.pseudo_label(given.target)
    maps = method.network(method.network.normalize(given.target.student))
    loss = 0.5 * (known * (maps - taught).square()).sum() / len(maps)
    target = flat(torch.autograd.grad(loss, parameters))
    method.network.load_state_dict(state)
    return source, target


def test_pgda_without_displacements_is_a_weighted_mean_teacher():
    method, given = ready(PGDA(sgd, TINY, STEP, radius=0.0, alignment=0.0, source_share=0.3)), batch()
    method.adaptation.teacher.network.final.bias.data += 0.2
    source, target = domains_gradients(method, given)
    objective = method.compute_gradients(given)
    expected = target + 0.3 * source
    torch.testing.assert_close(flat(p.grad for p in method.network.parameters()), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(objective.loss, 0.3 * objective.source.sum() + objective.target.sum())


def test_pgda_gradient_is_two_gradients_at_two_points():
    method, given = ready(PGDA(sgd, TINY, STEP, radius=0.05, alignment=0.5, source_share=0.3)), batch()
    method.adaptation.teacher.network.final.bias.data += 0.2
    source, target = domains_gradients(method, given)
    n, m = source.norm(), target.norm()
    parameters = list(method.network.parameters())
    start = flat(parameters)
    moved = []
    for vector, which in (
        (0.05 * target / m - 0.5 * source / (n * m), 1),
        (0.05 * source / n - 0.5 * target / (n * m), 0),
    ):
        torch.nn.utils.vector_to_parameters(start + vector, parameters)
        moved.append(domains_gradients(method, given)[which])
    torch.nn.utils.vector_to_parameters(start, parameters)
    passes = []
    method.manual_backward = lambda loss: (passes.append(float(loss.detach())), loss.backward())
    method.compute_gradients(given)
    assert len(passes) == 4
    found = flat(p.grad for p in parameters)
    torch.testing.assert_close(found, moved[0] + 0.3 * moved[1], rtol=2e-3, atol=1e-3)
    assert (found - target - 0.3 * source).norm() > 0.01 * found.norm()
    assert torch.equal(flat(parameters), start)

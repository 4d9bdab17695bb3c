"""Fishr and GGA: gradients of domains."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hamipose.data import CocoKeypoints, DomainAdaptation
from hamipose.errors import UserError
from hamipose.losses import heatmap_mse
from hamipose.methods import GGA, Fishr
from hamipose.methods.fishr import domain_variances, sample_gradients, variance_gap
from hamipose.methods.gga import smallest_cosine
from hamipose.methods.options import NetworkOptions, TrainingOptions
from hamipose.methods.parts.sharpness import length
from hamipose.methods.teacher_student import DomainPass
from hamipose.methods.validation import check_domains
from hamipose.types import SourceBatch

TINY = NetworkOptions(backbone="test_resnet", deconv_channels=[8, 8, 8])
N, K, C = 6, 3, 4


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


class Head:
    """Features through a last layer, with a loss."""

    def __init__(self, reduction: str = "mean"):
        self.layer = nn.Conv2d(C, K, 1)
        self.features = torch.randn(N, C, 5, 4, requires_grad=True)
        self.truth, self.weight, self.reduction = torch.randn(N, K, 5, 4), torch.rand(N, K), reduction

    def pass_of(self, chosen: slice | torch.Tensor = slice(None)) -> DomainPass:
        maps = self.layer(self.features[chosen])
        losses = heatmap_mse(maps, self.truth[chosen], self.weight[chosen], self.reduction)
        return DomainPass(losses, maps, self.features[chosen])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_sample_gradients_equal_those_of_single_images(reduction: str):
    """Compare with a loop in which each image is a batch."""
    head = Head(reduction)
    found = sample_gradients(head.pass_of())
    for n in range(N):
        weight, bias = torch.autograd.grad(head.pass_of(slice(n, n + 1)).losses.sum(), [*head.layer.parameters()])
        expected = torch.cat([weight.flatten(1), bias[:, None]], 1)
        torch.testing.assert_close(found[n], expected, rtol=1e-4, atol=1e-6)


def test_fishr_penalty_gradient_equals_double_backward():
    head, domain = Head("sum"), torch.tensor([0, 1, 0, 1, 0, 1])
    ours = variance_gap(domain_variances(sample_gradients(head.pass_of()), domain, 2))
    parameters = [head.features, *head.layer.parameters()]
    gradients = []
    for n in range(N):
        loss = head.pass_of(slice(n, n + 1)).losses.sum()
        gradient = torch.autograd.grad(loss, [*head.layer.parameters()], create_graph=True)
        gradients.append(torch.cat([g.flatten() for g in gradient]))
    each = [torch.stack(gradients)[domain == d].var(0, unbiased=False) for d in range(2)]
    middle = (each[0] + each[1]) / 2
    theirs = sum((v - middle).square().sum() for v in each) / 2
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)
    for a, b in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(theirs, parameters), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_variance_gap_of_equal_domains_is_zero():
    gradients = torch.randn(3, 2, 5)
    twice = torch.cat([gradients, 7 - gradients])  # another mean, the same variance
    domain = torch.tensor([0, 0, 0, 1, 1, 1])
    variances = domain_variances(twice, domain, 2)
    torch.testing.assert_close(variance_gap(variances), torch.zeros(()), atol=1e-6, rtol=0)
    spread = torch.cat([gradients, 2 * gradients])
    assert variance_gap(domain_variances(spread, domain, 2)) > 0.1
    np.testing.assert_allclose(variances[0].numpy(), np.var(gradients.numpy(), 0), rtol=1e-4)


# --- the search of GGA


def test_smallest_cosine_is_that_of_the_worst_pair():
    gradients = torch.randn(4, 10)
    pairs = [
        float(gradients[i] @ gradients[j] / gradients[i].norm() / gradients[j].norm())
        for i in range(4)
        for j in range(i)
    ]
    assert float(smallest_cosine(gradients)) == pytest.approx(min(pairs), abs=1e-6)
    assert smallest_cosine(torch.zeros(2, 3)) == 0


def looks() -> SourceBatch:
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    domain = torch.tensor([0, 1, 0, 1])
    return SourceBatch(images, torch.rand(4, 16, 2) * 32, torch.full((4, 16), 2), list("abcd"), domain)


def test_gga_search_accepts_only_better_agreement():
    model = GGA(sgd, TINY, TrainingOptions(), searches=12, radius=5e-2, tolerance=10.0)
    nn.init.normal_(model.network.final.weight, std=0.1)
    model.train()
    batch, seen = looks(), []
    judge = model.agreement
    model.agreement = lambda b: (seen.append(judge(b)), seen[-1])[1]
    state = {k: v.clone() for k, v in model.network.state_dict().items()}
    type(model).global_step = property(lambda self: 3)
    try:
        model.search(batch)
    finally:
        del type(model).global_step
    before, after = seen[0], judge(batch)
    assert len(seen) == 13
    best = max(cosine for cosine, loss in seen)
    assert best > before[0]  # trials of this size succeed here
    assert after[0] == pytest.approx(best, abs=1e-6)
    moved = {k: (v - state[k]).abs().max() for k, v in model.network.named_parameters()}
    assert moved["final.weight"] == 0
    assert max(moved.values()) > 0


def test_gga_search_without_success_restores_the_network():
    model = GGA(sgd, TINY, TrainingOptions(), searches=2, radius=1e-2)
    model.agreement = lambda batch: (1.0, 1.0)
    before = [p.detach().clone() for p in model.network.parameters()]
    type(model).global_step = property(lambda self: 3)
    try:
        model.search(looks())
    finally:
        del type(model).global_step
    assert length([p.detach() - b for p, b in zip(model.network.parameters(), before, strict=True)]) == 0


# --- domains of the source


def test_source_views_are_domains(dots: Path):
    light = CocoKeypoints(str(dots / "light"), box="image")
    data = DomainAdaptation(
        light, image_size=32, batch_size=4, num_workers=0, source_views=["none", "strong", "none", "none"]
    )
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch.source.domain.tolist() == [0, 1, 2, 3]
    plain = DomainAdaptation(light, image_size=32, batch_size=4, num_workers=0, source_views="none")
    plain.setup("fit")
    same = next(iter(plain.train_dataloader())).source
    assert same.domain.tolist() == [0, 0, 0, 0]
    equal = [torch.equal(a, b) for a, b in zip(batch.source.image, same.image, strict=True)]
    assert equal == [True, False, True, True]
    second = batch.source.select(batch.source.domain == 1)
    assert second.name == [batch.source.name[1]]
    assert torch.equal(second.image[0], batch.source.image[1])


def test_wrong_number_of_domains_is_rejected_in_one_line(dots: Path):
    light = CocoKeypoints(str(dots / "light"), box="image")
    with pytest.raises(UserError, match=r"source_views has 3 entries and data\.batch_size is 4"):
        DomainAdaptation(light, batch_size=4, source_views=["none", "none", "none"])
    data = DomainAdaptation(light, batch_size=4, source_views="strong")
    with pytest.raises(UserError, match=r"Fishr compares 2 domains and data\.source_views makes 1"):
        check_domains("Fishr", data, 2)
    with pytest.raises(UserError, match="GGA compares 1 domains"):
        check_domains("GGA", None, 1)
    check_domains("Fishr", DomainAdaptation(light, batch_size=4, source_views=["none", "strong"]), 2)
    assert Fishr(sgd, TINY).variances.shape == (2, 16, 9)

"""Requirements of torch on every optimizer, as in its tests (`test/test_optim.py`, same names), for Hamiltonian."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from hamipose.optim import Hamiltonian

RELATIVISTIC = {"kinetic": "relativistic", "kicks": "leapfrog", "initial_mass": 0.0, "eps": 1e-16}
OPTIONS = [
    {"friction": 0.0},
    {"friction": 0.1, "mass": "tensor", **RELATIVISTIC},
    {"friction": 0.1, "mass": "diagonal", **RELATIVISTIC},
    {"friction": 0.1, "mass": "diagonal", "initial_mass": 1e-4},
    {"friction": 0.1, "mass": "tensor", "weight_decay": 0.1, "maximize": True, **RELATIVISTIC},
]
every_option = pytest.mark.parametrize("options", OPTIONS, ids=str)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def descend(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, start: int = 0) -> list[torch.Tensor]:
    for step in range(start, start + steps):
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(16, 4, generator=generator, dtype=next(model.parameters()).dtype)
        optimizer.zero_grad()
        (model(inputs) - inputs[:, :2].cos()).square().mean().backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lr": -1.0}, "learning rate: -1.0"),
        ({"lr": float("nan")}, "learning rate"),
        ({"lr": torch.tensor([1.0, 2.0])}, "learning rate: a tensor of 2"),
        ({"friction": -0.1}, "friction: -0.1"),
        ({"initial_mass": -1.0}, "initial_mass"),
        ({"mass_decay": 1.1}, "mass_decay: 1.1"),
        ({"eps": -1e-8}, "eps"),
        ({"eps": 0.0, "initial_mass": 0.0}, "eps: 0"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"mass": "scalar"}, "mass: 'scalar', expected one of group, tensor, diagonal"),
        ({"kinetic": "quantum"}, "kinetic: 'quantum'"),
        ({"kicks": "drop"}, "kicks: 'drop'"),
    ],
)
def test_invalid_options_raise(options, words):
    with pytest.raises(ValueError, match="Invalid") as error:
        Hamiltonian([nn.Parameter(torch.zeros(1))], **({"friction": 0.1} | options))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_an_invalid_group_does_not_change_the_optimizer():
    optimizer = Hamiltonian([nn.Parameter(torch.zeros(1))], friction=0.1)
    with pytest.raises(ValueError, match="Invalid friction"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "friction": -1.0})
    assert len(optimizer.param_groups) == 1


def test_friction_is_required():
    with pytest.raises(TypeError, match="friction"):
        Hamiltonian([nn.Parameter(torch.zeros(1))])


def test_sparse_gradients_raise():
    embedding = nn.Embedding(10, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse"):
        Hamiltonian(embedding.parameters(), friction=0.1).step()


def test_forloop_goes_right_direction():
    for options in OPTIONS[1:4]:
        model = network()
        optimizer = Hamiltonian(model.parameters(), lr=2e-2, foreach=False, **options)
        inputs = torch.randn(64, 4)

        def loss(model=model, inputs=inputs) -> torch.Tensor:
            return (model(inputs) - inputs[:, :2].cos()).square().mean()

        before = loss().item()
        for _ in range(100):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        assert loss().item() < 0.7 * before


def test_maximize_equals_minimize_of_the_negative_loss():
    for options in OPTIONS[:4]:
        up, down = (nn.Parameter(torch.ones(3)) for _ in range(2))
        climbing, falling = Hamiltonian([up], maximize=True, **options), Hamiltonian([down], **options)
        for _ in range(5):
            down.grad = torch.randn(3)
            up.grad = -down.grad
            climbing.step()
            falling.step()
        assert torch.equal(up, down)


@every_option
def test_param_groups_lr(options):
    still, moving = (nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = Hamiltonian([{"params": [still], "lr": 0.0}, {"params": [moving]}], lr=0.1, **options)
    for _ in range(3):
        still.grad, moving.grad = torch.ones(3), torch.ones(3)
        optimizer.step()
    assert torch.equal(still, torch.ones(3))
    assert not torch.equal(moving, torch.ones(3))


def test_each_param_group_has_its_own_mass():
    quiet, loud = (nn.Parameter(torch.zeros(3)) for _ in range(2))
    optimizer = Hamiltonian([{"params": [quiet]}, {"params": [loud]}], lr=0.1, friction=0.1, **RELATIVISTIC)
    quiet.grad, loud.grad = torch.ones(3), torch.ones(3) * 100
    optimizer.step()
    masses = [group["alpha"].item() for group in optimizer.param_groups]
    assert masses[1] == pytest.approx(1e4 * masses[0], rel=1e-5)


@every_option
def test_param_group_with_lrscheduler(options):
    model = network()
    optimizer = Hamiltonian(model.parameters(), lr=1e-2, **options)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, total_iters=5)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [5])
    for step in range(20):
        values = descend(model, optimizer, 1, step)
        schedule.step()
    assert all(value.isfinite().all() for value in values)


def test_a_schedule_that_starts_at_zero_keeps_parameters_finite():
    """The warm-up of many libraries takes its first step with lr = 0."""
    theta = nn.Parameter(torch.zeros(3))
    optimizer = Hamiltonian([theta], lr=0.0, friction=0.1, mass="tensor", **RELATIVISTIC)
    for lr in (0.0, 1e-3, 2e-3):
        optimizer.param_groups[0]["lr"] = lr
        theta.grad = torch.tensor([1.0, 0.0, -2.0])
        optimizer.step()
        assert theta.isfinite().all()
    assert theta.abs().max() <= 3e-3 * (1 + 1e-5)


@every_option
def test_tensor_lr(options):
    first, second = network(), network()
    plain = descend(first, Hamiltonian(first.parameters(), lr=0.01, **options), 5)
    lr = torch.tensor(0.01, dtype=torch.float64)
    tensor = descend(second, Hamiltonian(second.parameters(), lr=lr, **options), 5)
    assert all(map(torch.equal, plain, tensor))


@every_option
@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_complex(options, shape):
    number = nn.Parameter(torch.randn(shape, dtype=torch.complex64))
    pair = nn.Parameter(torch.view_as_real(number.detach()).clone())
    ours, theirs = Hamiltonian([number], lr=0.01, **options), Hamiltonian([pair], lr=0.01, **options)
    for _ in range(4):
        number.grad = torch.randn(shape, dtype=torch.complex64)
        pair.grad = torch.view_as_real(number.grad).clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(torch.view_as_real(number.detach()), pair.detach())
    torch.testing.assert_close(ours.energy(), theirs.energy())


@every_option
def test_foreach_matches_forloop(options, monkeypatch):
    monkeypatch.setattr("hamipose.optim.blocks.PIECE_SIZE", 50)
    results = []
    for foreach in (None, True, False):
        torch.manual_seed(1)
        tensors = [nn.Parameter(torch.randn(shape)) for shape in ((4001,), (4, 5), (), (8, 16, 3, 3), (0,))]
        tensors[3].data = tensors[3].data.to(memory_format=torch.channels_last)
        tensors.append(nn.Parameter(torch.randn(30, 30).t()))  # dense, but in another order
        optimizer = Hamiltonian(tensors, lr=0.01, foreach=foreach, **options)
        for _ in range(3):
            for i, tensor in enumerate(tensors):
                gradient = torch.randn(tensor.shape)  # contiguous, unlike some of the parameters
                tensor.grad = gradient if i % 2 else torch.empty_like(tensor).copy_(gradient)
            optimizer.step()
        results.append([tensor.detach() for tensor in tensors])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            torch.testing.assert_close(a, b)


@every_option
@pytest.mark.parametrize("foreach", [None, True])
def test_mixed_device_dtype(options, foreach):
    tensors = [nn.Parameter(torch.ones(5, dtype=d)) for d in (torch.float32, torch.float64, torch.bfloat16)]
    optimizer = Hamiltonian(tensors, lr=0.01, foreach=foreach, **options)
    for _ in range(3):
        for tensor in tensors:
            tensor.grad = torch.ones_like(tensor)
        optimizer.step()
    for tensor in tensors:
        assert optimizer.state[tensor]["momentum"].dtype == tensor.dtype
        torch.testing.assert_close(tensor.detach().double(), tensors[1].detach(), rtol=1e-2, atol=1e-2)


@every_option
def test_step_is_noop_when_params_have_no_grad(options):
    theta, other = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimizer = Hamiltonian([theta, other], **options)
    optimizer.step()
    assert torch.equal(theta, torch.ones(3))
    assert not optimizer.state
    assert optimizer.energy() == 0
    theta.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(other, torch.ones(3))
    assert other not in optimizer.state
    other.grad = torch.ones(3)  # joins later
    optimizer.step()
    assert optimizer.energy().isfinite()


@pytest.mark.parametrize("options", OPTIONS[:4], ids=str)
def test_step_is_noop_for_zero_grads(options):
    theta = nn.Parameter(torch.ones(3))
    optimizer = Hamiltonian([theta], **options)
    for _ in range(3):
        theta.grad = torch.zeros(3)
        optimizer.step()
    assert torch.equal(theta, torch.ones(3))


@every_option
@pytest.mark.parametrize("foreach", [None, True, False])
def test_grads_are_never_inplaced_into(options, foreach, monkeypatch):
    monkeypatch.setattr("hamipose.optim.blocks.PIECE_SIZE", 50)
    tensors = [nn.Parameter(torch.randn(shape)) for shape in ((4001,), (3, 4))]
    optimizer = Hamiltonian(tensors, foreach=foreach, **options)
    for tensor in tensors:
        tensor.grad = torch.randn_like(tensor)
    before = [(tensor.grad, tensor.grad.clone(), tensor.grad._version) for tensor in tensors]
    optimizer.step()
    for tensor, (same, value, version) in zip(tensors, before, strict=True):
        assert tensor.grad is same
        assert torch.equal(tensor.grad, value)
        assert tensor.grad._version == version


def test_the_closure_is_called_once_with_gradients_enabled():
    theta = nn.Parameter(torch.ones(2))
    optimizer = Hamiltonian([theta], lr=0.1, friction=0.1)
    calls = []

    def closure() -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = theta.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2.0
    assert calls == [True]
    assert theta[0] < 1


@every_option
def test_optimizer_can_be_printed(options):
    model = network()
    optimizer = Hamiltonian(model.named_parameters(), **options)
    descend(model, optimizer, 1)
    assert "friction" in repr(optimizer)


@every_option
def test_state_dict_round_trip_is_exact(options):
    """Training that stops after 4 steps and resumes from a file gives the same bits as without the stop."""
    straight = network()
    expected = descend(straight, Hamiltonian(straight.parameters(), lr=0.01, **options), 10)
    model = network()
    optimizer = Hamiltonian(model.parameters(), lr=0.01, **options)
    descend(model, optimizer, 4)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again = network(seed=7)
    again.load_state_dict(saved["model"])
    resumed = Hamiltonian(again.parameters(), lr=0.5, friction=0.7)  # the saved groups contain their options
    resumed.load_state_dict(copy.deepcopy(saved["optimizer"]))
    assert all(map(torch.equal, descend(again, resumed, 6, start=4), expected))


@every_option
def test_state_dict_is_a_snapshot_of_the_scalar_masses(options):
    model = network()
    optimizer = Hamiltonian(model.parameters(), lr=0.01, **options)
    descend(model, optimizer, 2)
    group = optimizer.state_dict()["param_groups"][0]
    if "alpha" in group:
        before = group["alpha"].clone()
        descend(model, optimizer, 2)
        assert torch.equal(group["alpha"], before)


def test_state_is_one_tensor_per_parameter_or_two_with_diagonal_mass():
    for mass, count in (("group", 1), ("tensor", 1), ("diagonal", 2)):
        model = network()
        optimizer = Hamiltonian(model.parameters(), friction=0.1, mass=mass)
        descend(model, optimizer, 1)
        for parameter in model.parameters():
            assert [tuple(t.shape) for t in optimizer.state[parameter].values()] == [tuple(parameter.shape)] * count


def test_can_load_older_state_dict():
    """Groups that were saved before an option existed get the printed variant."""
    model = network()
    optimizer = Hamiltonian(model.parameters(), friction=0.1)
    descend(model, optimizer, 2)
    old = copy.deepcopy(optimizer.state_dict())
    for option in ("kinetic", "kicks", "weight_decay", "maximize", "foreach"):
        del old["param_groups"][0][option]
    other = Hamiltonian(model.parameters(), friction=0.1)
    other.load_state_dict(old)
    assert other.param_groups[0]["kicks"] == "printed"
    descend(model, other, 1)


def test_can_load_from_to_named_state_dict():
    model = network()
    named = Hamiltonian(model.named_parameters(), friction=0.1, mass="tensor")
    descend(model, named, 2)
    plain = Hamiltonian(model.parameters(), friction=0.1, mass="tensor")
    plain.load_state_dict(copy.deepcopy(named.state_dict()))
    named.load_state_dict(copy.deepcopy(plain.state_dict()))
    assert torch.equal(plain.param_groups[0]["alpha"], named.param_groups[0]["alpha"])


@every_option
def test_deepcopy_and_pickle(options):
    model = network()
    optimizer = Hamiltonian(model.parameters(), lr=0.01, **options)
    descend(model, optimizer, 2)
    assert copy.deepcopy(optimizer).state_dict().keys() == optimizer.state_dict().keys()
    pair = pickle.loads(pickle.dumps((model, optimizer)))
    assert all(map(torch.equal, descend(*pair, 3, start=2), descend(model, optimizer, 3, start=2)))


def test_hooks():
    theta = nn.Parameter(torch.ones(1))
    optimizer = Hamiltonian([theta], friction=0.1)
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.register_state_dict_post_hook(lambda _, state: {**state, "hook": True})
    theta.grad = torch.ones(1)
    optimizer.step()
    assert seen == ["before", "after"]
    assert optimizer.state_dict()["hook"]


def test_bfloat16_trains():
    model = network().bfloat16()
    optimizer = Hamiltonian(model.parameters(), lr=1e-2, friction=0.1, mass="tensor", **RELATIVISTIC)
    assert all(value.isfinite().all() for value in descend(model, optimizer, 10))

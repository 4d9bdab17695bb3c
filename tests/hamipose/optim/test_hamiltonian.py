"""Properties of the step: the printed equation, its limits, its order, energy, phase space, the speed limit."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from hamipose.optim import Hamiltonian

RELATIVISTIC = {"kinetic": "relativistic", "kicks": "leapfrog", "initial_mass": 0.0, "eps": 1e-16}
SHAPES = [(3, 4), (5,), (2, 3, 2), (), (4001,)]  # the last one is cut into pieces on the CPU


def reference_steps(thetas, gradients, h, friction, mass, alpha0, mu, eps, kinetic="newtonian", kicks="printed"):
    """Compute the equations of the class docstring for all coordinates, independently of the implementation."""
    sizes = [theta.numel() for theta in thetas]
    theta = torch.cat([t.reshape(-1) for t in thetas]).double()
    owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    p, alpha = torch.zeros_like(theta), torch.full_like(theta, alpha0)
    for gs in gradients:
        g = torch.cat([gradient.reshape(-1) for gradient in gs]).double()
        if kicks == "leapfrog":
            p = p - h / 2 * g
        p = math.exp(-friction) * p
        p = p - h / 2 * g
        v = p / (alpha + eps) if kinetic == "newtonian" else p / (p**2 + alpha + eps**2).sqrt()
        theta = theta + h * v
        followed = (h * v) ** 2 if kinetic == "newtonian" else p**2
        if kicks == "printed":
            p = p - h / 2 * g
        if mass == "group":
            followed = followed.mean().expand_as(followed)
        elif mass == "tensor":
            followed = torch.stack([followed[owner == i].mean() for i in range(len(sizes))])[owner]
        alpha = mu * alpha + (1 - mu) * followed
    return theta.split(sizes), p.split(sizes), alpha.split(sizes)


@pytest.mark.parametrize("foreach", [None, True, False])
@pytest.mark.parametrize("mass", ["group", "tensor", "diagonal"])
@pytest.mark.parametrize(
    ("friction", "kinetic", "kicks", "alpha0"),
    [
        (0.0, "newtonian", "printed", 1.0),
        (0.3, "newtonian", "leapfrog", 1e-3),
        (0.3, "relativistic", "printed", 0.0),
        (0.1, "relativistic", "leapfrog", 0.0),
    ],
)
def test_step_equals_the_reference_equations(mass, friction, kinetic, kicks, alpha0, foreach, monkeypatch):
    monkeypatch.setattr("hamipose.optim.blocks.PIECE_SIZE", 50)
    thetas = [torch.randn(shape, dtype=torch.float64) for shape in SHAPES]
    gradients = [[torch.randn_like(t) * 10.0**-i for i, t in enumerate(thetas)] for _ in range(6)]
    parameters = [nn.Parameter(t.clone()) for t in thetas]
    options = {"mass_decay": 0.8, "eps": 1e-6, "initial_mass": alpha0, "mass": mass, "friction": friction}
    optimizer = Hamiltonian(parameters, lr=0.05, kinetic=kinetic, kicks=kicks, foreach=foreach, **options)
    for gs in gradients:
        for parameter, g in zip(parameters, gs, strict=True):
            parameter.grad = g.clone()
        optimizer.step()
    expected, momenta, alphas = reference_steps(
        thetas, gradients, 0.05, friction, mass, alpha0, 0.8, 1e-6, kinetic, kicks
    )
    energy = 0.0
    for i, parameter in enumerate(parameters):
        state = optimizer.state[parameter]
        torch.testing.assert_close(parameter.detach().reshape(-1), expected[i], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(state["momentum"].reshape(-1), momenta[i], rtol=1e-9, atol=1e-12)
        if mass == "diagonal":
            torch.testing.assert_close(state["alpha"].reshape(-1), alphas[i], rtol=1e-9, atol=1e-15)
        else:
            alpha = optimizer.param_groups[0]["alpha"][i if mass == "tensor" else 0]
            torch.testing.assert_close(alpha, alphas[i][0], rtol=1e-9, atol=1e-15)
        if kinetic == "newtonian":
            energy += (momenta[i] ** 2 / (alphas[i] + 1e-6) / 2).sum()
        else:
            rest = (alphas[i] + 1e-12).sqrt()
            energy += ((momenta[i] ** 2 + rest**2).sqrt() - rest).sum()
    torch.testing.assert_close(optimizer.energy(), energy, rtol=1e-8, atol=0.0)


def test_defaults_without_friction_equal_the_printed_equation():
    theta = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = Hamiltonian([theta], lr=1e-3, friction=0.0)
    assert {"mass", "initial_mass", "mass_decay", "eps"} <= optimizer.defaults.keys()
    p, alpha, position = torch.zeros(2, dtype=torch.float64), 1.0, theta.detach().clone()
    for step in range(20):
        theta.grad = torch.tensor([step + 1.0, math.sin(step)], dtype=torch.float64) * 1e3
        g = theta.grad.clone()
        optimizer.step()
        p = p - 1e-3 / 2 * g
        increment = 1e-3 * p / (alpha + 1e-8)
        position = position + increment
        p = p - 1e-3 / 2 * g
        alpha = 0.99 * alpha + 0.01 * increment.square().mean().item()
        torch.testing.assert_close(theta.detach(), position, rtol=1e-12, atol=0.0)


def run(parameter, optimizer, gradient, steps):
    """Return the positions of `steps` steps with the given gradient function."""
    path = []
    for _ in range(steps):
        parameter.grad = gradient(parameter.detach()).clone()  # never a view of the position
        optimizer.step()
        path.append(parameter.detach().clone())
    return torch.stack(path)


def fixed(parameter, h, friction, kicks, **options):
    """Return an optimizer with a constant unit mass."""
    constant = {"mass_decay": 1.0, "initial_mass": 1.0, "eps": 0.0} | options
    return Hamiltonian([parameter], lr=h, friction=friction, kicks=kicks, **constant)


def test_leapfrog_with_unit_mass_equals_sgd_with_momentum():
    curvature = torch.tensor([1.0, 30.0, 0.1], dtype=torch.float64)
    ours, theirs = (nn.Parameter(torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64)) for _ in range(2))
    h, friction = 0.1, 0.2
    keep = math.exp(-friction)
    sgd = torch.optim.SGD([theirs], lr=h**2 * (1 + keep) / 2, momentum=keep)
    path = run(ours, fixed(ours, h, friction, "leapfrog"), lambda x: curvature * x, 50)
    torch.testing.assert_close(path, run(theirs, sgd, lambda x: curvature * x, 50), rtol=1e-12, atol=1e-12)


def test_printed_with_unit_mass_equals_sgd_with_momentum_minus_half_the_gradient():
    """Both kicks with one gradient: Δθ = -h² (v - g/2), v the buffer of SGD with momentum."""
    theta = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    h, friction = 0.1, 0.2
    optimizer, v, position = fixed(theta, h, friction, "printed"), torch.zeros(4).double(), torch.zeros(4).double()
    for _ in range(20):
        theta.grad = torch.randn(4, dtype=torch.float64)
        v = math.exp(-friction) * v + theta.grad
        position = position - h**2 * (v - theta.grad / 2)
        optimizer.step()
    torch.testing.assert_close(theta.detach(), position, rtol=1e-12, atol=1e-12)


def test_relativistic_step_equals_the_newtonian_step_for_small_momenta():
    theta, other = (nn.Parameter(torch.zeros(5, dtype=torch.float64)) for _ in range(2))
    heavy = {"mass_decay": 1.0, "initial_mass": 100.0}
    ours = Hamiltonian([theta], 0.01, friction=0.1, kinetic="relativistic", **heavy)  # rest mass 10: v = p / 10
    newton = Hamiltonian([other], 0.01, friction=0.1, mass_decay=1.0, initial_mass=10.0)
    for _ in range(10):
        theta.grad = other.grad = torch.randn(5, dtype=torch.float64)
        ours.step()
        newton.step()
    torch.testing.assert_close(theta.detach(), other.detach(), rtol=1e-4, atol=0.0)


def oscillator_error(steps, kicks, friction_rate=0.0):
    """Return the error to the exact damped oscillator x'' = -x - c x' at time 2, from x = 1 with velocity 0."""
    h, time = 2.0 / steps, 2.0
    theta = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = fixed(theta, h, friction_rate * h, kicks)
    if kicks == "leapfrog":  # at rest at time 0: a momentum whose next half kick ends at 0
        optimizer.state[theta]["momentum"] = h / 2 * theta.detach().clone()
    path = run(theta, optimizer, lambda x: x, steps)
    decay, omega = friction_rate / 2, math.sqrt(1 - friction_rate**2 / 4)
    exact = math.exp(-decay * time) * (math.cos(omega * time) + decay / omega * math.sin(omega * time))
    return abs(path[-1].item() - exact)


@pytest.mark.parametrize("friction_rate", [0.0, 0.5])
@pytest.mark.parametrize(("kicks", "order"), [("printed", 1), ("leapfrog", 2)])
def test_order_of_convergence_on_an_oscillator(kicks, order, friction_rate):
    errors = [oscillator_error(n, kicks, friction_rate) for n in (100, 200, 400)]
    for coarse, fine in itertools.pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.1)


def step_map(position, momentum, curvature, h, friction, **options):
    """Apply one step as a map of phase space, which is differentiated numerically below."""
    theta = nn.Parameter(position.clone())
    optimizer = Hamiltonian([theta], lr=h, friction=friction, mass_decay=1.0, eps=1e-12, **options)
    optimizer.state[theta]["momentum"] = momentum.clone()
    theta.grad = curvature @ position + position**3  # a well that is not quadratic
    optimizer.step()
    return torch.cat([theta.detach(), optimizer.state[theta]["momentum"]])


def phase_space_jacobian(**options):
    n, delta = 3, 1e-5
    curvature = torch.tensor([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 3.0]], dtype=torch.float64)
    z = torch.randn(2 * n, dtype=torch.float64)
    columns = []
    for direction in torch.eye(2 * n, dtype=torch.float64) * delta:
        ahead, behind = z + direction, z - direction
        difference = step_map(*ahead.split(n), curvature, **options) - step_map(*behind.split(n), curvature, **options)
        columns.append(difference / (2 * delta))
    zero, one = torch.zeros(n, n), torch.eye(n)
    omega = torch.cat([torch.cat([zero, one], 1), torch.cat([-one, zero], 1)]).double()
    return torch.stack(columns, 1), omega


@pytest.mark.parametrize("kinetic", ["newtonian", "relativistic"])
@pytest.mark.parametrize("friction", [0.0, 0.2])
def test_leapfrog_contracts_the_symplectic_form_by_the_friction(kinetic, friction):
    jacobian, omega = phase_space_jacobian(h=0.3, friction=friction, kicks="leapfrog", kinetic=kinetic)
    torch.testing.assert_close(jacobian.T @ omega @ jacobian, math.exp(-friction) * omega, rtol=1e-6, atol=1e-7)


def test_printed_kicks_expand_phase_space():
    """The factor for curvature k is 1 + h²k/2D per step, so the printed equation diverges without friction."""
    h, curvature = 0.3, 2.0
    columns = []
    for position, momentum in ((1.0, 0.0), (0.0, 1.0)):
        theta = nn.Parameter(torch.tensor([position], dtype=torch.float64))
        optimizer = fixed(theta, h, 0.0, "printed")
        optimizer.state[theta]["momentum"] = torch.tensor([momentum], dtype=torch.float64)
        run(theta, optimizer, lambda x: curvature * x, 1)
        columns.append(torch.cat([theta.detach(), optimizer.state[theta]["momentum"]]))
    assert torch.linalg.det(torch.stack(columns, 1)).item() == pytest.approx(1 + h**2 * curvature / 2, rel=1e-12)


@pytest.mark.parametrize("kinetic", ["newtonian", "relativistic"])
def test_energy_is_bounded_without_friction_and_decreases_with_it(kinetic):
    curvature = torch.tensor([1.0, 5.0], dtype=torch.float64)

    def energies(friction, kicks):
        theta = nn.Parameter(torch.ones(2, dtype=torch.float64))
        optimizer = fixed(theta, 0.1, friction, kicks, kinetic=kinetic, eps=1e-12)
        path = []
        for _ in range(1500):
            theta.grad = curvature * theta.detach()
            optimizer.step()
            path.append(optimizer.energy() + (curvature * theta.detach() ** 2).sum() / 2)
        return torch.stack(path)

    free = energies(0.0, "leapfrog")
    assert free.min() > 0.8 * 3.0
    assert free.max() < 1.2 * 3.0
    assert energies(0.05, "leapfrog")[-1] < 1e-6
    assert energies(0.0, "printed")[-1] > 5 * 3.0


def test_momentum_decays_by_the_friction_without_force():
    theta = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = fixed(theta, 0.1, 0.25, "printed")
    theta.grad = torch.randn(3, dtype=torch.float64)
    optimizer.step()
    before = optimizer.state[theta]["momentum"].clone()
    theta.grad = torch.zeros(3, dtype=torch.float64)
    optimizer.step()
    torch.testing.assert_close(optimizer.state[theta]["momentum"], math.exp(-0.25) * before, rtol=1e-14, atol=0.0)


@pytest.mark.parametrize("mass", ["group", "tensor", "diagonal"])
def test_no_coordinate_moves_more_than_lr_per_step(mass):
    parameters = [nn.Parameter(torch.zeros(50, dtype=torch.float64)) for _ in range(2)]
    optimizer = Hamiltonian(parameters, lr=1e-3, friction=0.1, mass=mass, **RELATIVISTIC)
    for step in range(20):
        before = [parameter.detach().clone() for parameter in parameters]
        for i, parameter in enumerate(parameters):
            parameter.grad = torch.randn(50).double() * (1e6 if step == 10 else 1.0) * 1e-3**i
        optimizer.step()
        for parameter, old in zip(parameters, before, strict=True):
            assert (parameter.detach() - old).abs().max() <= 1e-3 * (1 + 1e-12)


@pytest.mark.parametrize("mass", ["group", "tensor", "diagonal"])
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_relativistic_steps_do_not_depend_on_the_unit_of_the_loss(mass, scale):
    gradients = torch.randn(30, 100)

    def path(factor: float) -> Tensor:
        theta = nn.Parameter(torch.zeros(100))
        optimizer = Hamiltonian([theta], lr=1e-2, friction=0.1, mass=mass, **RELATIVISTIC)
        steps = iter(gradients)
        return run(theta, optimizer, lambda _: next(steps) * factor, 30)

    torch.testing.assert_close(path(scale), path(1.0), rtol=1e-4, atol=1e-6)


def test_a_tensor_with_late_gradients_is_finite_and_slow():
    """For example behind a BatchNorm whose scale is zero at first: no gradient at first, then one."""
    theta = nn.Parameter(torch.zeros(10))
    optimizer = Hamiltonian([theta], lr=1e-3, friction=0.1, mass="tensor", **RELATIVISTIC)
    gradients = iter([torch.zeros(10)] * 5 + [torch.randn(10) for _ in range(5)])
    path = run(theta, optimizer, lambda _: next(gradients), 10)
    assert path[4].abs().max() == 0
    assert path.isfinite().all()
    assert path.abs().max() <= 5e-3 * (1 + 1e-5)


def test_weight_decay_is_decoupled():
    ours, theirs = (nn.Parameter(torch.tensor([2.0, -3.0])) for _ in range(2))
    optimizer = Hamiltonian([ours], lr=0.1, friction=0.1, weight_decay=0.3)
    adamw = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.3)
    torch.testing.assert_close(
        run(ours, optimizer, torch.zeros_like, 3), run(theirs, adamw, torch.zeros_like, 3), rtol=1e-6, atol=0.0
    )


@pytest.mark.parametrize("mass", ["group", "tensor"])
def test_loaded_scalar_masses_follow_the_parameters_to_their_device(mass: str):
    """Lightning loads checkpoints to the CPU and moves the state of optimizers; masses are options of groups."""
    here = [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(4))]
    optimizer = Hamiltonian(here, friction=0.1, mass=mass)
    for theta in here:
        theta.grad = torch.ones_like(theta)
    optimizer.step()
    there = [torch.nn.Parameter(theta.detach().to("meta")) for theta in here]
    resumed = Hamiltonian(there, friction=0.1, mass=mass)
    resumed.load_state_dict(optimizer.state_dict())
    for theta in there:
        theta.grad = torch.ones_like(theta)
    resumed.step()
    assert resumed.param_groups[0]["alpha"].device.type == "meta"
    assert resumed.state[there[0]]["momentum"].device.type == "meta"

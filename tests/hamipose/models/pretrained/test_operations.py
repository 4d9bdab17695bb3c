import pytest
import torch
from torch.nn import functional as F

from hamipose.errors import UserError
from hamipose.models.pretrained.operations import (
    Operation,
    OperationNetwork,
    Program,
    power_of_two_scale,
    required_operations,
)

CONV = {"padding": [1, 1], "stride": [1, 1], "dilation": [1, 1], "groups": 1}


def two_branches() -> tuple[list[Operation], dict[str, torch.Tensor]]:
    """Return two convolutions of very different size, the second reading the first; and an unused third one."""
    operations = [
        Operation("conv", ("image",), "a.raw", CONV | {"weight_shape": [4, 3, 3, 3]}),
        Operation("relu6", ("a.raw",), "a"),
        Operation("conv", ("a",), "b", CONV | {"weight_shape": [2, 4, 3, 3]}),
        Operation("conv", ("a",), "c", CONV | {"weight_shape": [5, 4, 3, 3]}),
    ]
    sizes = {"a.raw": 30.0, "b": 0.004, "c": 1.0}
    weights = {}
    for operation in operations:
        if operation.kind == "conv":
            shape = operation.options["weight_shape"]
            weights[f"{operation.output}.weight"] = sizes[operation.output] * torch.randn(shape)
            weights[f"{operation.output}.bias"] = sizes[operation.output] * torch.randn(shape[0])
    return operations, weights


def test_weights_equal_unit_parameters_times_a_scale():
    operations, weights = two_branches()
    network = OperationNetwork(operations, weights)
    for name, value in weights.items():
        torch.testing.assert_close(network.weight(name), value, rtol=0, atol=0)
    for parameter in network.parameters():
        assert 0.5 < float(parameter.detach().square().mean().sqrt()) < 2
    assert power_of_two_scale(torch.zeros(3)) == 1
    assert power_of_two_scale(torch.full((4,), -0.003)) == 2**-8


def test_optimizer_step_has_the_same_relative_size_for_all_weights():
    """Adam's first step is lr for every parameter, independent of its gradient."""
    operations, weights = two_branches()
    network = OperationNetwork(operations, weights)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network(torch.randn(2, 3, 8, 8), ("b",))["b"].square().sum().backward()
    optimizer.step()
    for name in ("a.raw.weight", "b.weight"):
        moved = (network.weight(name) - weights[name]).detach().abs().mean() / weights[name].square().mean().sqrt()
        assert 0.4e-3 < float(moved) < 2e-3


def test_values_and_gradients_equal_torch():
    operations, weights = two_branches()
    network = OperationNetwork(operations, weights)
    image = torch.randn(2, 3, 6, 5)
    found = network(image, ("b", "a"))
    a = F.conv2d(image, weights["a.raw.weight"], weights["a.raw.bias"], padding=1).clamp(0, 6)
    torch.testing.assert_close(found["a"], a)
    torch.testing.assert_close(found["b"], F.conv2d(a, weights["b.weight"], weights["b.bias"], padding=1))
    found["b"].sum().backward()
    given = weights["b.weight"].requires_grad_()
    F.conv2d(a, given, weights["b.bias"], padding=1).sum().backward()
    scale = network.scales.b_weight
    torch.testing.assert_close(network.weights["b_weight"].grad, given.grad * scale, rtol=1e-4, atol=1e-6)
    assert network.weights["c_weight"].grad is None  # operations that no output depends on are not computed


def test_tensor_with_two_readers_is_not_overwritten():
    operations = [
        Operation("pad", ("image",), "a", {"padding": [1, 1, 0, 0]}),
        Operation("relu", ("a",), "b"),
        Operation("add", ("a", "b"), "c"),
        Operation("relu", ("image",), "d"),
    ]
    image = torch.randn(1, 2, 3, 3)
    kept = image.clone()
    found = OperationNetwork(operations)(image, ("c", "a", "d"))
    padded = F.pad(kept, (1, 1, 0, 0))
    torch.testing.assert_close(found["a"], padded)
    torch.testing.assert_close(found["c"], padded + padded.relu())
    torch.testing.assert_close(image, kept)


def test_requested_output_is_not_overwritten():
    operations, weights = two_branches()
    found = OperationNetwork(operations, weights)(torch.randn(1, 3, 4, 4), ("a.raw", "a"))
    torch.testing.assert_close(found["a"], found["a.raw"].clamp(0, 6))
    assert float(found["a.raw"].detach().min()) < 0


def test_state_dict_restores_a_network_with_the_same_operations():
    operations, weights = two_branches()
    trained, empty = OperationNetwork(operations, weights), OperationNetwork(operations)
    empty.load_state_dict(trained.state_dict())
    image = torch.randn(1, 3, 4, 4)
    torch.testing.assert_close(empty(image, ("b",))["b"], trained(image, ("b",))["b"], rtol=0, atol=0)


def test_required_operations_contain_only_dependencies():
    operations, _ = two_branches()
    assert [o.output for o in required_operations(operations, ["b"])] == ["a.raw", "a", "b"]


def test_program_survives_json():
    operations, _ = two_branches()
    program = Program(operations, {"features": "b"}, {"features": 2})
    assert Program.from_json(program.to_json(), "x") == program
    with pytest.raises(UserError, match=r"operations\.json is damaged"):
        Program.from_json(program.to_json()[:-30], "operations.json")
    with pytest.raises(UserError, match=r"operations\.json: operation a is a 'relu7'"):
        Program.from_json(program.to_json().replace("relu6", "relu7"), "operations.json")


def test_invalid_operation_lists_are_rejected():
    operations, weights = two_branches()
    with pytest.raises(UserError, match=r"a reads a\.raw, which nothing before it computes"):
        OperationNetwork(operations[1:], weights)
    del weights["b.bias"]
    with pytest.raises(UserError, match=r"b\.bias of a convolution is missing"):
        OperationNetwork(operations, weights)
    with pytest.raises(UserError, match="lacks groups"):
        Operation("conv", ("image",), "a", {"padding": 0, "stride": 1, "dilation": 1})

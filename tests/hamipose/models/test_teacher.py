import copy

import pytest
import torch
from torch import nn

from hamipose.models.teacher import Teacher


class Student(nn.Module):
    """A small network with all kinds of state: weights, BatchNorm, and a buffer of its own."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.final = nn.Conv2d(4, 2, 1)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("scale", torch.ones(4, 1, 1))

    def forward(self, images):
        return self.final(self.norm(self.convolution(images)) * self.scale)


def disturbed(student, seed):
    """Return a student with other weights, statistics and buffers."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for tensor in (*student.parameters(), *student.buffers()):
            tensor.add_(torch.randn(tensor.shape).abs() + 1 if tensor.is_floating_point() else 3)
    return student


@pytest.mark.parametrize("batchnorm", ["copy", "average", "target"])
@pytest.mark.parametrize("decay", [0.0, 0.3, 0.99, 1.0])
def test_parameters_equal_the_moving_average(batchnorm, decay):
    student = Student()
    teacher = Teacher(student, decay, batchnorm)
    expected = [p.detach().double() for p in student.parameters()]
    for seed in range(5):
        disturbed(student, seed)
        teacher.update(student)
        expected = [
            decay * e + (1 - decay) * p.detach().double() for e, p in zip(expected, student.parameters(), strict=True)
        ]
    for ours, theirs in zip(teacher.network.parameters(), expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=1e-5)
    assert teacher.num_updates == 5


def test_constant_student_has_a_closed_form():
    start, end = Student(), disturbed(Student(), 0)
    teacher = Teacher(start, 0.9)
    for _ in range(20):
        teacher.update(end)
    for mine, first, last in zip(teacher.network.parameters(), start.parameters(), end.parameters(), strict=True):
        torch.testing.assert_close(mine, last + 0.9**20 * (first - last), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batchnorm", ["copy", "average", "target"])
def test_buffers_follow_the_batchnorm_option(batchnorm):
    student = Student()
    before = {k: v.clone() for k, v in student.named_buffers()}
    teacher = Teacher(student, 0.9, batchnorm)
    disturbed(student, 0)
    teacher.update(student)
    for name, mine in teacher.network.named_buffers():
        now = dict(student.named_buffers())[name]
        if batchnorm == "target" and name.startswith("norm."):
            expected = before[name]
        elif batchnorm == "average" and mine.is_floating_point():
            expected = 0.9 * before[name] + 0.1 * now
        else:
            expected = now
        torch.testing.assert_close(mine, expected, msg=name)


def test_teacher_is_a_frozen_copy():
    student = Student()
    teacher = Teacher(student)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())
    assert not {p.data_ptr() for p in student.parameters()} & {p.data_ptr() for p in teacher.parameters()}
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    assert not teacher(images).requires_grad
    assert not teacher.pseudo_label(images).requires_grad


@pytest.mark.parametrize("batchnorm", ["copy", "average", "target"])
def test_student_is_never_modified(batchnorm):
    student = Student()
    student(torch.rand(2, 3, 8, 8)).sum().backward()
    before = copy.deepcopy(student.state_dict())
    gradients = [p.grad.clone() for p in student.parameters()]
    teacher = Teacher(disturbed(copy.deepcopy(student), 1), 0.5, batchnorm)
    teacher.pseudo_label(torch.rand(2, 3, 8, 8))
    teacher.update(student)
    teacher.pseudo_label(torch.rand(2, 3, 8, 8))
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name])
    for parameter, gradient in zip(student.parameters(), gradients, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_teacher_stays_in_eval_mode():
    owner = nn.ModuleList([Student(), Teacher(Student())])
    owner.train()
    assert owner[0].training
    assert not any(module.training for module in owner[1].network.modules())
    owner.eval().train()
    assert not owner[1].network.norm.training


def test_target_statistics_come_from_target_batches():
    student = Student()
    teacher = Teacher(student, batchnorm="target")
    images = torch.rand(4, 3, 8, 8) * 5 + 3
    oracle = copy.deepcopy(student).train()
    torch.testing.assert_close(teacher.pseudo_label(images), oracle(images).detach())
    torch.testing.assert_close(teacher.network.norm.running_mean, oracle.norm.running_mean)
    torch.testing.assert_close(teacher.network.norm.running_var, oracle.norm.running_var)
    assert not teacher.network.norm.training, "evaluation must not use batch statistics"
    kept = teacher.network.norm.running_mean.clone()
    teacher(images)
    assert torch.equal(teacher.network.norm.running_mean, kept)


@pytest.mark.parametrize("batchnorm", ["copy", "average"])
def test_other_teachers_label_with_running_statistics(batchnorm):
    teacher = Teacher(disturbed(Student(), 0), batchnorm=batchnorm)
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(teacher.pseudo_label(images), teacher(images))


@pytest.mark.parametrize("batchnorm", ["copy", "average", "target"])
def test_resumed_teacher_equals_uninterrupted_one(batchnorm):
    def step(teacher, student, i):
        disturbed(student, i)
        teacher.pseudo_label(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(i)))
        teacher.update(student)

    student = Student()
    straight = Teacher(student, 0.9, batchnorm)
    for i in range(3):
        step(straight, student, i)
    saved = copy.deepcopy(straight.state_dict())
    student_then = copy.deepcopy(student)
    resumed = Teacher(Student(), 0.9, batchnorm)
    resumed.load_state_dict(saved)
    for i in range(3, 6):
        step(straight, student, i)
        step(resumed, student_then, i)
    assert straight.num_updates == resumed.num_updates == 6
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_reset_copies_the_student():
    teacher, student = Teacher(Student(), batchnorm="target"), disturbed(Student(), 0)
    teacher.update(student)
    teacher.reset(student)
    for name, value in student.state_dict().items():
        assert torch.equal(teacher.network.state_dict()[name], value)
    assert teacher.num_updates == 0
    assert not any(p.requires_grad for p in teacher.parameters())


def test_state_of_another_network_is_rejected():
    with pytest.raises(RuntimeError):
        Teacher(Student()).update(nn.Linear(2, 2))


@pytest.mark.parametrize("options", [{"decay": 1.1}, {"decay": -0.1}, {"batchnorm": "mine"}])
def test_invalid_options_are_rejected(options):
    with pytest.raises(Exception, match=next(iter(options))):
        Teacher(Student(), **options)

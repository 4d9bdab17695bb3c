"""SMPL's files in their official format, with and without chumpy's objects, valid and malformed."""

import pickle
import sys
import types
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from roma import random_rotmat
from scipy.sparse import csc_matrix

from hamipose.errors import UserError
from meshtto.body import load_body, mean_parameters
from meshtto.body.arrays import read_arrays
from meshtto.cli import main
from meshtto.joints import PARENTS24

V = 6890


def rows(*shape: int) -> np.ndarray:
    raw = np.zeros(shape)
    rng = np.random.default_rng(0)
    for row in raw:
        chosen = rng.choice(shape[1], 5, replace=False)
        row[chosen] = rng.dirichlet(np.ones(5))
    return raw


def model() -> dict:
    """Return a copy of the body below, which tests change."""
    return dict(_model())


@lru_cache(maxsize=1)
def _model() -> dict:
    """Return random arrays with SMPL's keys and shapes."""
    rng = np.random.default_rng(1)
    return {
        "v_template": rng.standard_normal((V, 3)),
        "shapedirs": 0.1 * rng.standard_normal((V, 3, 10)),
        "posedirs": 0.01 * rng.standard_normal((V, 3, 207), np.float32),
        "J_regressor": csc_matrix(rows(24, V)),
        "weights": rows(V, 24),
        "f": rng.integers(0, V, (13776, 3)).astype(np.uint32),
        "kintree_table": np.stack([np.array(PARENTS24) % 2**32, np.arange(24)]).astype(np.uint32),
        "bs_type": "lrotmin",
    }


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Return classes that pickle under chumpy's names by their `__dict__`, as chumpy does."""
    made = {}
    for module, name in (("chumpy", ""), ("chumpy.ch", "Ch"), ("chumpy.reordering", "Select")):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
        if name:
            made[name] = type(name, (), {"__module__": module})
            setattr(sys.modules[module], name, made[name])
    return types.SimpleNamespace(**made)


def with_state(kind: type, **state: object) -> object:
    thing = kind()
    thing.__dict__.update(state)
    return thing


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / f"{name}.npy" for name in ("h36m", "extra")}
    np.save(paths["h36m"], rows(17, V))
    np.save(paths["extra"], rows(9, V))
    paths["mean"] = tmp_path / "mean.npz"
    pose = np.random.default_rng(2).standard_normal(144).astype(np.float32)
    np.savez(paths["mean"], pose=pose, shape=np.arange(10.0), cam=np.array([0.9, 0, 0]))
    return paths


def write(path: Path, content: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def run(path: Path, out: Path, files: dict[str, Path], *more: str) -> int:
    return main(
        [
            "body",
            "import",
            str(path),
            "--out",
            str(out),
            "--h36m",
            str(files["h36m"]),
            "--extra",
            str(files["extra"]),
            *more,
        ]
    )


def test_import_smpl_reads_chumpy_pickles(
    tmp_path: Path, files: dict[str, Path], chumpy: types.SimpleNamespace, capsys
):
    plain = model()
    dressed = dict(plain)
    dressed["v_template"] = with_state(chumpy.Ch, x=plain["v_template"], _dirty_vars=set(), _itr=None)
    dressed["weights"] = with_state(chumpy.Ch, x=plain["weights"])
    wide = np.concatenate([plain["shapedirs"], np.ones((V, 3, 4))], -1)
    chosen = np.arange(wide.size).reshape(wide.shape)[..., :10].ravel()
    dressed["shapedirs"] = with_state(
        chumpy.Select, a=with_state(chumpy.Ch, x=wide), idxs=chosen, preferred_shape=(V, 3, 10)
    )
    path = write(tmp_path / "SMPL_FEMALE.pkl", dressed)
    out = tmp_path / "body" / "smpl_female.safetensors"
    assert run(path, out, files, "--mean", str(files["mean"])) == 0
    assert "SMPL, female, 6890 vertices" in capsys.readouterr().out
    read = read_arrays(out)
    for ours, reference in (("template_m", "v_template"), ("shape_dirs", "shapedirs"), ("weights", "weights")):
        assert np.allclose(getattr(read, ours), plain[reference], atol=1e-6)
    assert np.allclose(read.joint_regressor, plain["J_regressor"].toarray())
    body = load_body(str(out), gender="female")
    pose, shape, _ = mean_parameters(body)
    assert shape.tolist() == list(range(10))
    assert np.allclose(pose, np.load(files["mean"])["pose"])


def test_imported_body_equals_smplx(tmp_path: Path, files: dict[str, Path]):
    import smplx

    path = write(tmp_path / "SMPL_NEUTRAL.pkl", model())
    assert run(path, tmp_path / "neutral.safetensors", files) == 0
    reference = smplx.SMPL(str(path))  # trusted: written above
    rotations, shape = random_rotmat((2, 24)), torch.randn(2, 10)
    expected = reference(betas=shape, global_orient=rotations[:, :1], body_pose=rotations[:, 1:], pose2rot=False)
    body = load_body(str(tmp_path / "neutral.safetensors"))
    out = body(rotations, shape)
    torch.testing.assert_close(out.vertices_m, expected.vertices, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(out.joints_m[:, 0], expected.joints[:, 24], atol=2e-5, rtol=1e-5)  # nose


def test_load_body_finds_genders_beside_each_other(tmp_path: Path, files: dict[str, Path]):
    content = model()
    for gender in ("NEUTRAL", "MALE"):
        assert run(write(tmp_path / f"SMPL_{gender}.pkl", content), tmp_path / f"smpl_{gender.lower()}.st", files) == 0
    path = str(tmp_path / "smpl_neutral.st")
    assert load_body(path).gender == "neutral"
    assert load_body(path, "male").gender == "male"
    with pytest.raises(UserError, match=r"expected it in smpl_female\.st beside it"):
        load_body(path, "female")
    with pytest.raises(UserError, match="gender is 'other'"):
        load_body(path, "other")
    with pytest.raises(UserError, match=r"nowhere\.st does not exist; create it"):
        load_body(str(tmp_path / "nowhere.st"))
    (tmp_path / "text.st").write_text("hello")
    with pytest.raises(UserError, match=r"text\.st is a text file, not a safetensors file; create it"):
        load_body(str(tmp_path / "text.st"))


class _Bomb:
    def __reduce__(self):
        return print, ("code was run",)


def test_import_smpl_rejects_pickles_with_code(tmp_path: Path, files: dict[str, Path], capsys):
    path = write(tmp_path / "SMPL_NEUTRAL.pkl", {**model(), "extra": _Bomb()})
    assert run(path, tmp_path / "out.st", files) == 2
    output = capsys.readouterr()
    assert "code was run" not in output.out + output.err
    assert "expected only arrays" in output.err
    assert "print" in output.err
    assert output.err.count("\n") == 1
    assert not (tmp_path / "out.st").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v_template": np.zeros((10475, 3))}, "v_template of .* has shape .10475, 3."),
        ({"kintree_table": np.zeros((2, 52), np.int64)}, "not SMPL's 24 joints; is it SMPL.H"),
        ({"weights": np.zeros((V, 24))}, "a row of weights of .* sums to 0.000, expected 1"),
        ({"shapedirs": np.zeros((V, 3, 4))}, "shapedirs of .* has shape"),
        ({"posedirs": np.zeros((V, 3, 100))}, "pose_dirs of .* has shape"),
        ({"f": np.full((5, 3), 9999)}, "faces of .* names vertex 9999"),
        ({"v_template": np.full((V, 3), np.nan)}, "template_m of .* not finite"),
        ({"v_template": "text"}, "v_template of .* contains <U4, expected numbers"),
    ],
)
def test_import_smpl_rejects_malformed_bodies(tmp_path: Path, files, capsys, change: dict, message: str):
    path = write(tmp_path / "SMPL_NEUTRAL.pkl", {**model(), **change})
    assert run(path, tmp_path / "out.st", files) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert __import__("re").search(message, error), error


def test_import_smpl_rejects_other_content(tmp_path: Path, files: dict[str, Path], capsys):
    whole = model()
    for content, message in (
        ([1, 2], "contains a list"),
        ({"v_template": whole["v_template"]}, "has no shapedirs, posedirs"),
    ):
        assert run(write(tmp_path / "SMPL_MALE.pkl", content), tmp_path / "out.st", files) == 2
        assert message in capsys.readouterr().err
    torn = write(tmp_path / "SMPL_MALE.pkl", whole)
    torn.write_bytes(torn.read_bytes()[:1000])
    assert run(torn, tmp_path / "out.st", files) == 2
    assert "is cut short, damaged" in capsys.readouterr().err
    assert run(tmp_path / "SMPL_MALE_2.pkl", tmp_path / "out.st", files) == 2
    assert "cannot be read (No such file" in capsys.readouterr().err
    assert run(tmp_path / "body.pkl", tmp_path / "out.st", files) == 2
    assert "contains no gender" in capsys.readouterr().err
    good = write(tmp_path / "basicModel_m_lbs_10_207_0_v1.0.0.pkl", whole)
    np.save(files["h36m"], np.zeros((17, 100)))
    assert run(good, tmp_path / "out.st", files) == 2
    assert "Human3.6M regressor" in capsys.readouterr().err
    files["h36m"].write_text("no array")
    assert run(good, tmp_path / "out.st", files) == 2
    assert "is a text file, not a NumPy array (.npy)" in capsys.readouterr().err
    assert main(["body", "import", str(good)]) == 2
    assert "--out" in capsys.readouterr().err


def test_import_smpl_reads_npz(tmp_path: Path, files: dict[str, Path], capsys: pytest.CaptureFixture):
    """SMPL-X's site distributes .npz files; arrays that require a pickle are skipped."""
    content = model()
    arrays = {name: np.asarray(value) for name, value in content.items() if name != "J_regressor"}
    path = tmp_path / "SMPL_MALE.npz"
    np.savez(path, **arrays, J_regressor=content["J_regressor"].toarray(), bs_style=np.array([{"a": 1}], object))
    assert run(path, tmp_path / "male.st", files) == 0
    assert np.allclose(read_arrays(tmp_path / "male.st").template_m, content["v_template"], atol=1e-6)
    np.savez(path, v_template=content["v_template"])
    capsys.readouterr()
    assert run(path, tmp_path / "male.st", files) == 2
    assert "SMPL_MALE.npz has no shapedirs, posedirs" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["pickle", "h36m", "mean"])
def test_import_smpl_names_the_kind_of_other_files(
    tmp_path: Path, files: dict[str, Path], option: str, capsys: pytest.CaptureFixture
):
    path = write(tmp_path / "SMPL_MALE.pkl", model())
    pointer = tmp_path / "male_pointer"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n")
    options = {**files, option: pointer}
    body = pointer if option == "pickle" else path
    assert run(body, tmp_path / "male.st", options, "--mean", str(options["mean"])) == 2
    line = capsys.readouterr().err
    assert f"{pointer} is a Git LFS pointer" in line
    assert line.count("\n") == 1
    assert not (tmp_path / "male.st").exists()

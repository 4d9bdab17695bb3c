"""Untrusted pickles: arrays are restored exactly, code never runs, damaged files raise one line."""

import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from hamipose.errors import UserError
from hamipose.io.safe_pickle import PYTHON2_OBJECTS, load_pickle

VALUES = {
    0: {"uv_vis": np.arange(6.0).reshape(2, 3), "K": np.eye(3, dtype=np.float32), "name": "left"},
    7: [np.float64(2.5), np.int32(3), (True, None, b"\xff\x00"), {1, 2}, OrderedDict(a=1), 1 + 2j],
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "records": np.zeros(2, [("x", "<f4"), ("y", ">i2")]),
    "empty": np.empty((0, 4)),
}


def same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_values_are_restored(tmp_path: Path, protocol: int):
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(VALUES, protocol))
    assert same(VALUES, load_pickle(tmp_path / "a.pickle"))


class _Touch:
    """Object whose unpickling calls `open`, which creates the file."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_in_a_pickle_does_not_run(tmp_path: Path, protocol: int):
    mark, path = tmp_path / "mark", tmp_path / "evil.pickle"
    path.write_bytes(pickle.dumps({0: _Touch(mark)}, protocol))
    with pytest.raises(UserError, match=r"needs 'i?o\.open'") as error:
        load_pickle(path)
    assert "\n" not in str(error.value)
    assert not mark.exists()
    pickle.loads(path.read_bytes())[0].close()  # the standard unpickler runs the code
    assert mark.exists()


@pytest.mark.parametrize(
    "attack",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",  # a dotted name, protocol 4
        b"(S'true'\nios\nsystem\n.",  # INST
    ],
)
def test_names_that_are_not_allowed_raise(tmp_path: Path, attack: bytes):
    (tmp_path / "evil.pickle").write_bytes(attack)
    with pytest.raises(UserError, match="no code in it was run"):
        load_pickle(tmp_path / "evil.pickle")


def test_only_the_codec_latin1_is_allowed(tmp_path: Path):
    (tmp_path / "a.pickle").write_bytes(b"c_codecs\nencode\n(Vx\nVidna\ntR.")
    with pytest.raises(UserError, match="encodes text as 'idna', expected latin1"):
        load_pickle(tmp_path / "a.pickle")


def python2(array: np.ndarray) -> bytes:
    """Return a dictionary with `array` as Python 2 pickles it in protocol 2: old module names, bytes as `str`."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value

    shape = b"".join(b"K" + bytes([n]) for n in array.shape)
    out = io.BytesIO()
    out.write(b"\x80\x02}" + text(b"uv"))
    out.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R")
    out.write(b"(K\x01(" + shape + b"tcnumpy\ndtype\n" + text(array.dtype.str[1:].encode()) + b"K\x00K\x01\x87R")
    out.write(b"(K\x03" + text(b"<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
    out.write(text(array.tobytes()) + b"tbs.")
    return out.getvalue()


def test_pickles_of_python_2_are_read(tmp_path: Path):
    array = np.random.default_rng(0).normal(size=(42, 3))
    (tmp_path / "old.pickle").write_bytes(python2(array))
    found = load_pickle(tmp_path / "old.pickle")
    assert list(found) == ["uv"]
    assert np.array_equal(found["uv"], array)


def test_further_allowed_names_resolve_to_the_callers_objects(tmp_path: Path):
    class Stub:
        def __setstate__(self, state: dict) -> None:
            self.x = state["x"]

    # An instance of chumpy.ch.Ch, as Python 2 wrote objects of new-style classes.
    old = b"\x80\x02ccopy_reg\n_reconstructor\ncchumpy.ch\nCh\nc__builtin__\nobject\nN\x87R}U\x01xK\x05sb."
    (tmp_path / "smpl.pkl").write_bytes(old)
    with pytest.raises(UserError, match=r"copy_reg\._reconstructor"):
        load_pickle(tmp_path / "smpl.pkl")
    with pytest.raises(UserError, match=r"chumpy\.ch\.Ch"):
        load_pickle(tmp_path / "smpl.pkl", PYTHON2_OBJECTS)
    found = load_pickle(tmp_path / "smpl.pkl", {**PYTHON2_OBJECTS, ("chumpy.ch", "Ch"): Stub})
    assert type(found) is Stub
    assert found.x == 5


def test_damaged_files_raise_one_line(tmp_path: Path):
    whole, path = pickle.dumps(VALUES, 2), tmp_path / "a.pickle"
    for end in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"is cut short, damaged or not a pickle|is empty \(0 bytes\)") as error:
            load_pickle(path)
        assert "\n" not in str(error.value)
    path.write_text("not a pickle")
    with pytest.raises(UserError, match=r"a\.pickle is a text file, not a pickle"):
        load_pickle(path)
    np.savez(tmp_path / "a.npz", a=np.ones(2))
    with pytest.raises(UserError, match=r"a\.npz is a NumPy archive \(\.npz\), not a pickle"):
        load_pickle(tmp_path / "a.npz")
    with pytest.raises(UserError, match=r"nowhere\.pickle cannot be read \(No such file"):
        load_pickle(tmp_path / "nowhere.pickle")

"""Files that went wrong, made from sound ones with a fixed seed, and what a command must do with each of them."""

import copy
import json
import random
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"

#: What stands in the place of a value: of another type, out of range, or of another program's taste.
_STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**63, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf"), "", " ",
    "1", "-3", "nan", "None", "person", "../../etc/passwd", "a\\b.png", "\u00e9\u4e2d\ud83d\ude00".encode("utf-16",
    "surrogatepass").decode("utf-16"), "x" * 5000, "\x00", [], [None], [[]], [1, 2, 3], ["a", 1], {}, {"a": 1},
    {"id": {}}, [float("nan")] * 4,
)  # fmt: skip


def broken_bytes(rng: random.Random, data: bytes) -> bytes:
    """Damage a file without looking at what is in it."""
    kind = rng.randrange(14)
    place = rng.randrange(len(data) + 1)
    if kind <= 2:  # a download that stopped
        return data[:place]
    if kind <= 5:
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 4, 64))):
            if damaged:
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        return bytes(damaged)
    if kind == 6:
        return data[:place] + rng.randbytes(rng.choice((1, 16, 512))) + data[place:]
    if kind == 7:
        return data[:place] + data[place + rng.choice((1, 16, 512)) :]
    if kind == 8:
        return data[:place] + bytes(len(data) - place)  # a full disk
    return {
        9: LFS_POINTER,
        10: HTML,
        11: b"",
        12: data + data,
        13: rng.randbytes(rng.choice((1, 8, 2000))),
    }[kind]


def broken_encoding(rng: random.Random, data: bytes) -> bytes:
    """Store a text as another program would."""
    text = data.decode()
    return rng.choice(
        (
            b"\xef\xbb\xbf" + data,
            text.encode("utf-16"),
            text.encode("utf-16-be"),
            text.encode("utf-32"),
            text.replace("a", "\u00e9", 3).encode("latin-1", "replace"),
            data.replace(b"\n", b"\r\n"),
            b"\x1f\x8b\x08\x00" + data,
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"// a comment\n" + data,
            data + b"\x00",
        )
    )


def broken_tree(rng: random.Random, tree: Any) -> Any:
    """Change one to three places of nested lists and dictionaries."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 3))):
        tree = _changed(rng, tree)
    return tree


def _changed(rng: random.Random, tree: Any) -> Any:
    above: Any = None
    key: Any = None
    here = tree
    while isinstance(here, (dict, list)) and here and (above is None or rng.random() < 0.85):
        above = here
        key = rng.choice(list(here)) if isinstance(here, dict) else rng.randrange(len(here))
        here = here[key]
    if above is None:
        return rng.choice(_STRANGE)
    kind = rng.randrange(10)
    if kind <= 4:
        above[key] = copy.deepcopy(rng.choice(_STRANGE))
    elif kind <= 6:
        del above[key]
    elif kind == 7 and isinstance(here, (int, float)):
        above[key] = rng.choice((str(here), -here, here * 1e6, [here], here + 0.5, {"value": here}))
    elif kind == 7 and isinstance(here, str):
        above[key] = rng.choice((here.upper(), here[::-1], here + " ", "./" + here, here[:1], [here], 7))
    elif kind == 7:
        above[key] = rng.choice((list(here), str(here), len(here))) if isinstance(here, (dict, list)) else "null"
    elif kind == 8 and isinstance(above, list):
        above.insert(rng.randrange(len(above) + 1), copy.deepcopy(here))
    elif kind == 8:
        above[str(key) + rng.choice(("", "s", "_", " "))] = above.pop(key)
    else:
        above[key] = {"a": here} if rng.random() < 0.5 else [here, here]
    return tree


def broken_json(rng: random.Random, tree: Any) -> bytes:
    """A JSON file with wrong content, or a damaged one."""
    kind = rng.random()
    if kind < 0.75:
        return json.dumps(broken_tree(rng, tree), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    whole = json.dumps(tree).encode()
    return broken_bytes(rng, whole) if kind < 0.92 else broken_encoding(rng, whole)


def mutants(seed: str, count: int) -> Iterator[tuple[int, random.Random]]:
    """A number and a random generator for each file; the same in every run."""
    for number in range(count):
        yield number, random.Random(f"{seed} {number}")


#: Names of Python's errors, which say nothing to a user.
_CLASS_NAMES = re.compile(r"\b[A-Z][A-Za-z]*(?:Error|Exception)\b")


#: How other lines on standard error may begin: what was left out, what is done instead, and what image libraries
#: written in C say on their own.
_SPOKEN = (
    "error: ",
    "warning: ",
    "left out: ",
    "skipped: ",
    "careful: ",
    "no keypoints: ",
    "libpng ",
    "Corrupt JPEG",
    "Premature end of JPEG",
)


class Faults:
    """What commands did wrong, grouped, so that one cause with many files is one line.

    Args:
        capture: pytest's ``capfd``: libraries written in C print past Python.
    """

    def __init__(self, capture: Any):
        self.capture = capture
        self.printed = ""
        self.statuses = {0: 0, 2: 0}
        self.found: dict[str, list[object]] = {}

    def carry_out(self, main: Callable[[list[str]], int], words: Iterable[object], name: object) -> int | None:
        """Run a command in this process and look at how it ended; None where it did not end as commands must."""
        self.capture.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:  # --print_config
            status = end.code
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)
            own = [f for f in last if "/hamipose/" in f.filename or "/meshtto/" in f.filename]
            where = f"{Path((own or last)[-1].filename).name}:{(own or last)[-1].lineno}"
            text = " ".join(str(error).split())[:100]
            self.add(f"escaped: {type(error).__name__} at {where}: {text}", name)
            return None
        self.printed, said = self.capture.readouterr()
        lines = said.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        if status not in (0, 2):
            self.add(f"status {status}", name)
        elif "Traceback" in said:
            self.add(f"a traceback is printed: {lines[-1][:120]}", name)
        elif status == 2 and (len(errors) != 1 or lines[-1] != errors[0]):
            self.add(f"status 2 without exactly one line at the end: {lines[-1:]}", name)
        elif status == 0 and errors:
            self.add("status 0 with an error", name)
        elif status == 2 and _CLASS_NAMES.search(errors[0]):
            self.add(f"a class of Python in the message: {_shape(errors[0])}", name)
        elif noise := [line for line in lines if line and not line.startswith(_SPOKEN)]:
            self.add(f"noise: {_shape(noise[0])}", name)
        else:
            self.statuses[status] += 1
            return status
        return None

    def add(self, what: str, name: object) -> None:
        """Take a fault down."""
        self.found.setdefault(what, []).append(name)

    def check_whole(self, folder: Path, name: object) -> None:
        """Whatever a command left behind is whole: JSON can be read, no temporary file remains."""
        for path in sorted(folder.rglob("*")) if folder.exists() else ():
            if path.name.endswith((".part", ".tmp")) or (path.is_file() and path.stat().st_size == 0):
                self.add(f"half-written: {path.name}", name)
            elif path.suffix == ".json":
                try:
                    json.loads(path.read_text(), parse_constant=_refuse)
                except ValueError as error:
                    self.add(f"not strict JSON: {path.name} ({error})", name)

    def check(self, least: int = 1) -> None:
        """Fail with the list of faults; or if not both ends were seen, for then the files test nothing."""
        total = sum(map(len, self.found.values()))
        lines = [f"{len(names):5d} × {what}   e.g. {names[:3]}" for what, names in sorted(self.found.items())]
        assert not self.found, f"{total} faults of {len(lines)} kinds:\n" + "\n".join(lines)
        assert min(self.statuses.values()) >= least, self.statuses


def _shape(line: str) -> str:
    """A message without what differs from file to file."""
    line = re.sub(r"\S*/\S*", "PATH", line)
    return re.sub(r"-?\d[\d.e+-]*", "N", line)[:140]


def _refuse(constant: str) -> None:
    raise ValueError(f"holds {constant}")

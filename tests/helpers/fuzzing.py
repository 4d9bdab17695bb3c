"""Damaged files, made from valid ones with a fixed seed, and checks of how commands respond to them."""

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

#: Replacements of a value: other types, values out of range, conventions of other programs.
_STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**63, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf"), "", " ",
    "1", "-3", "nan", "None", "person", "../../etc/passwd", "a\\b.png", "\u00e9\u4e2d\ud83d\ude00".encode("utf-16",
    "surrogatepass").decode("utf-16"), "x" * 5000, "\x00", [], [None], [[]], [1, 2, 3], ["a", 1], {}, {"a": 1},
    {"id": {}}, [float("nan")] * 4,
)  # fmt: skip


def damage_bytes(rng: random.Random, data: bytes) -> bytes:
    """Damage a file regardless of its content."""
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


def change_encoding(rng: random.Random, data: bytes) -> bytes:
    """Store a text in another encoding."""
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


def change_tree(rng: random.Random, tree: Any) -> Any:
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


def damage_json(rng: random.Random, tree: Any) -> bytes:
    """Return a JSON file with wrong content or damaged bytes."""
    kind = rng.random()
    if kind < 0.75:
        return json.dumps(change_tree(rng, tree), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    whole = json.dumps(tree).encode()
    return damage_bytes(rng, whole) if kind < 0.92 else change_encoding(rng, whole)


def seeded_generators(seed: str, count: int) -> Iterator[tuple[int, random.Random]]:
    """Yield a number and a random generator for each file; the same in every run."""
    for number in range(count):
        yield number, random.Random(f"{seed} {number}")


#: Names of Python's exceptions, which must not appear in messages.
_CLASS_NAMES = re.compile(r"\b[A-Z][A-Za-z]*(?:Error|Exception)\b")


#: Allowed beginnings of other lines on standard error: skipped records, warnings, messages of image libraries in C.
_ALLOWED = (
    "error: ",
    "warning: ",
    "skipped: ",
    "careful: ",
    "no keypoints: ",
    "libpng ",
    "Corrupt JPEG",
    "Premature end of JPEG",
)


class Failures:
    """Wrong responses of commands, grouped so that one cause with many files is one line.

    Args:
        capture: pytest's ``capfd``, because libraries written in C bypass Python's standard error.
    """

    def __init__(self, capture: Any):
        self.capture = capture
        self.printed = ""
        self.statuses = {0: 0, 2: 0}
        self.found: dict[str, list[object]] = {}

    def run(self, main: Callable[[list[str]], int], words: Iterable[object], name: object) -> int | None:
        """Run a command in this process; return its exit status, or None after a wrong response."""
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
        elif noise := [line for line in lines if line and not line.startswith(_ALLOWED)]:
            self.add(f"noise: {_shape(noise[0])}", name)
        else:
            self.statuses[status] += 1
            return status
        return None

    def add(self, what: str, name: object) -> None:
        """Record a wrong response."""
        self.found.setdefault(what, []).append(name)

    def check_files(self, folder: Path, name: object) -> None:
        """Check the files that a command wrote: JSON is valid and no temporary file remains."""
        for path in sorted(folder.rglob("*")) if folder.exists() else ():
            if path.name.endswith((".part", ".tmp")) or (path.is_file() and path.stat().st_size == 0):
                self.add(f"half-written: {path.name}", name)
            elif path.suffix == ".json":
                try:
                    json.loads(path.read_text(), parse_constant=_refuse)
                except ValueError as error:
                    self.add(f"not strict JSON: {path.name} ({error})", name)

    def check(self, minimum: int = 1) -> None:
        """Fail with the list of wrong responses, or if a test did not see both success and failure."""
        total = sum(map(len, self.found.values()))
        lines = [f"{len(names):5d} × {what}   e.g. {names[:3]}" for what, names in sorted(self.found.items())]
        assert not self.found, f"{total} failures of {len(lines)} kinds:\n" + "\n".join(lines)
        assert min(self.statuses.values()) >= minimum, self.statuses


def _shape(line: str) -> str:
    """Return a message without paths and numbers."""
    line = re.sub(r"\S*/\S*", "PATH", line)
    return re.sub(r"-?\d[\d.e+-]*", "N", line)[:140]


def _refuse(constant: str) -> None:
    raise ValueError(f"holds {constant}")

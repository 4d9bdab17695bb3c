"""Recognition of files that are something else than their name says: pointers, web pages, archives, other formats."""

import re

__all__ = ["HEAD", "foreign_kind"]

#: How many bytes of a file's beginning are needed.
HEAD = 1024

#: What a file may be, by its beginning, and what to do about it.
_KINDS = (
    (
        re.compile(rb"version https://git-lfs\.github\.com/spec"),
        "a Git LFS pointer, not the file itself; run git lfs pull in its repository, or download the file",
    ),
    (
        re.compile(rb"\s*(<!DOCTYPE html|<html|<head|<!--)", re.IGNORECASE),
        "a web page, not the file itself; download it from the page's own download link",
    ),
    (re.compile(rb"\s*<\?xml"), "an XML file; give the file itself, not its description or an error message"),
    (re.compile(rb"%PDF-"), "a PDF document"),
    (re.compile(rb"(Rar!|7z\xbc\xaf|\x1f\x8b|BZh\d|\xfd7zXZ|\(\xb5/\xfd)"), "a compressed archive; unpack it first"),
)


def foreign_kind(head: bytes) -> str | None:
    """Return what a file is, and what to do, if it is none of the formats that this package reads; else None.

    Args:
        head: its first :data:`HEAD` bytes.

    >>> foreign_kind(b"version https://git-lfs.github.com/spec/v1\\noid sha256:4d7a\\n")[:17]
    'a Git LFS pointer'
    >>> foreign_kind(bytes.fromhex("ffd8ffe0"))
    """
    return next((kind for pattern, kind in _KINDS if pattern.match(head)), None)

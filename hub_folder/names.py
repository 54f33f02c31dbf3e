"""Which names files, branches and tags may have on a Hub: none leaves its place, and none hides another."""

import re
import unicodedata

_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)
"""What Windows opens as a device, with any ending."""
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PLACES = ("refs", "heads", "tags", "remotes", "pr")
"""First parts of a name that git reads as the place of another one (gitrevisions(7))."""
_ORDER = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that change the order in which others are shown."""
_UNSEEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
"""Kinds of characters that write nothing; a file may have a joiner in its name, as words of some languages have."""
LONGEST_PART, LONGEST = 255, 1024
"""Bytes of a name between two slashes, and of a whole path: what file systems take."""


def file_problem(path: str) -> str:
    """Why no file may have this path, on whatever system it is read; empty where it may."""
    if len(path.encode("utf-8", "replace")) > LONGEST:
        return f"has more than {LONGEST} bytes"
    problems = (_part_problem(part) for part in path.split("/"))
    return next((problem for problem in problems if problem), "")


def _part_problem(part: str) -> str:
    if part in ("", ".", ".."):
        return "is empty, absolute or leaves the folder"
    if any(unicodedata.category(character) in ("Cc", "Cs") or character in _ORDER for character in part):
        return "holds a character that cannot be shown"
    if "\\" in part or ":" in part:
        return "holds a backslash or a colon, which Windows reads as another folder or drive"
    if part[-1] in ". " or _DEVICES.fullmatch(part):
        return "is read as another name, or as a device, on Windows"
    if len(part.encode()) > LONGEST_PART:
        return f"has a part of more than {LONGEST_PART} bytes"
    return ""


def ref_problem(name: str) -> str:
    """Why no branch or tag may have this name, by what else it would be read as; empty where it may."""
    if _COMMIT.fullmatch(name):
        return "it is read as a commit"
    if name.split("/", maxsplit=1)[0] in _PLACES or name in ("HEAD", "@") or re.fullmatch(r"[A-Z_]+_HEAD", name):
        return "git reads it as the place of another one"
    if name.startswith("-"):
        return "git reads it as an option"
    if any(unicodedata.category(character) in _UNSEEN for character in name):
        return "a character of it cannot be seen, and it looks like another"
    return ""

"""Which names leave their place, or are read as something else, on whatever system a Hub's files are read."""

import pytest

from hub_folder.names import file_problem, ref_problem


@pytest.mark.parametrize(
    "path",
    ["README.md", ".gitattributes", "a/b/c.json", "gates/previous/0a1b/x", "a b", "ä/ö.txt", "lpt",
     "console", "com10", "x-aux", "...a", "a..b", "a/.hidden", "x" * 255],
)  # fmt: skip
def test_a_files_name_that_is_one_everywhere_is_taken(path: str) -> None:
    assert file_problem(path) == ""


@pytest.mark.parametrize(
    "path",
    ["", "/", "/etc/passwd", "..", "../x", "a/../b", ".", "./a", "a//b", "a/", "a\\b", "con\\..\\x", "..\\x", "C:x",
     "C:/x", "a:b", "con", "CON", "nul.txt", "aux.tar.gz", "a/com1", "lpt9.x", "com¹", "prn .txt", "conin$", "a.", "a ",
     "a./b", "a\0b", "a\nb", "a\x1b[2Jb", "a\x7f", "a\x85b", "a\u202eb", "\ud800", "x" * 256, "ä" * 128, "a/" * 600],
)  # fmt: skip
def test_a_files_name_that_is_another_somewhere_is_refused(path: str) -> None:
    assert file_problem(path)


@pytest.mark.parametrize(
    "name",
    ["v1", "v1.0.0", "main", "release/1.0", "20261121", "deadbeef", "refsx", "x/refs", "Head", "größe-1", "版本1"],
)
def test_a_ref_that_is_read_as_itself_is_taken(name: str) -> None:
    assert ref_problem(name) == ""


@pytest.mark.parametrize(
    "name",
    ["a" * 40, "0" * 40, "f" * 64, "refs/heads/x", "refs/tags/main", "refs/pr/1", "refs", "heads/main", "tags/v1",
     "remotes/origin/x", "pr/1", "HEAD", "FETCH_HEAD", "ORIG_HEAD", "@", "-d", "v1\u200b", "v\u00ad1", "\u202ev1",
     "v1\u2028", "v1\ue000"],
)  # fmt: skip
def test_a_ref_that_is_read_as_another_is_refused(name: str) -> None:
    assert ref_problem(name)

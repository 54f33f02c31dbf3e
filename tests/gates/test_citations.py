"""What brackets hold, and what else a reader takes for a citation: each rule by its nearest neighbours."""

import pytest

from gates import citations
from gates.citations import names_in
from gates.patterns import Pattern, read_pattern

KNOWN = {"1": "1", "2": "\uff12", "3": "3", "smith, j": "smith, j", "c": "c"}
"""Ids by their spelling: one in digits of another script, one with a comma in it."""
DOCUMENTS = {name: {"id": name} for name in KNOWN.values()}


def _read(source: str) -> Pattern:
    pattern, problem = read_pattern(source)
    assert pattern is not None, problem
    return pattern


@pytest.mark.parametrize(
    ("held", "names"),
    [
        ("1-3", ("1", "\uff12", "3")),
        ("2-4", ("\uff12", "3", "4")),
        ("3-3", ("3-3",)),
        ("3-1", ("3-1",)),
        ("1-1998", ("1-1998",)),
        ("1 2", ("1", "\uff12")),
        ("1 9", ("1 9",)),
        ("smith, j, c", ("smith, j", "c")),
        ("c, smith, j", ("c", "smith, j")),
        ("smith, k", ("smith", "k")),
        (" , ", ()),
        ("", ()),
    ],
)
def test_brackets_hold_an_id_a_list_or_a_range(held: str, names: tuple[str, ...]) -> None:
    assert names_in(held, KNOWN) == names


def test_a_range_ends_within_a_hundred_of_its_first() -> None:
    assert names_in("7-107", {}) == tuple(map(str, range(7, 108)))
    assert names_in("7-108", {}) == ("7-108",)


def test_a_match_in_which_the_group_takes_nothing_cites_nothing() -> None:
    found = citations.read_plainly(_read(r"\[(\d)?\]"), "a [] b [1]")

    assert (found.markers, found.prose) == (("1",), "a  b ")


def test_what_was_read_once_is_read_the_same_again() -> None:
    markers, text = _read(r"\[(\d)\]"), "It is [1] so [7]."
    plainly, read = citations.read_plainly(markers, text), citations.read(markers, text, DOCUMENTS)

    assert read.strange == ("7",)
    for found in (plainly, read):
        assert citations.read(markers, text, DOCUMENTS, found) == read


PAPERS = {
    "1": {"text": "By (Lee et al., 2020), at www.a.b."},
    "2": {"text": "By (Kim et al., 2021), at www.c.d there."},
}


@pytest.mark.parametrize(
    ("text", "strange"),
    [
        ("So [1] (Lee et al., 2020).", ()),
        ("So [1] (Kim et al., 2021).", ("(Kim et al., 2021)",)),
        ("So [1] [2] (Kim et al., 2021).", ()),
        ("So (Kim et al., 2021).", ()),
        ("So [7] (Kim et al., 2021).", ("7",)),
        ("So [1] www.c.d.", ()),
        ("So [1] www.e.f.", ("www.e.f.",)),
        ("So [7] (Ann et al., 2022) [7].", ("7", "(Ann et al., 2022)")),
    ],
)
def test_what_a_cited_document_says_is_no_citation_and_an_address_of_any_is_none(
    text: str, strange: tuple[str, ...]
) -> None:
    assert citations.read(_read(r"\[(\d)\]"), text, PAPERS).strange == strange


@pytest.mark.parametrize(
    ("text", "strange"),
    [
        ("<cite>3</cite>", ""),
        ("<cite>9</cite>", "<cite>9</cite>"),
        ('<cite id="3"/>', ""),
        ("<cite id='9'/>", "<cite id='9'/>"),
        ("<ref name=c />", ""),
        ("<ref name=d />", "<ref name=d />"),
        ("<sup>[3]</sup>", ""),
        ("<sup></sup>", ""),
        ("(see docs 1, 3)", ""),
        ("(see docs 1, 9)", "(see docs 1, 9)"),
        ("[source 3]", ""),
        ("[source 9]", "[source 9]"),
        ("[3, p. 4]", ""),
        ("[9, p. 4]", "[9, p. 4]"),
        ("(January 2020)", ""),
        ("(Jan 2020)", ""),
        ("https://a.b/3", "https://a.b/3"),
        ("doi: 10.1000/1", "doi: 10.1000/1"),
        ("arXiv:2101.00001", "arXiv:2101.00001"),
        ("WWW.A.B", "WWW.A.B"),
        ("http://localhost/x", "http://localhost/x"),
    ],
)
def test_each_form_names_a_document_or_is_strange(text: str, strange: str) -> None:
    """The markers of this contract are other ones."""
    found = citations.read(_read(r"\{(\d)\}"), f"So it is, {text} and more", DOCUMENTS)

    assert found.strange == ((strange,) if strange else ())


def test_an_address_that_is_a_document_is_no_stray_one() -> None:
    documents = {"https://a.b/3": {"text": "so"}}

    assert citations.read(None, "It is at https://a.b/3.", documents).strange == ()
    assert citations.read(None, "It is at https://a.b/4.", documents).strange == ("https://a.b/4.",)

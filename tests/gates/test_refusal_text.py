"""Texts that refuse and texts that answer, in every language that a contract may name."""

import json

import pytest

import gates
from gates.refusal_text import PHRASES, only_refuses, says_that_it_refuses
from gates.words import folded
from tests.gates.examples import contract

REFUSALS = {
    "en": (
        "I cannot answer this.", "We are not able to tell.", "It is impossible to determine that from the text.",
        "The documents do not mention it.", "The sources say nothing about it.", "It is not in the sources.",
        "None of the sources says when.", "Unable to answer.", "I don't know.", "There is not enough information.",
    ),
    "de": (
        "Das kann ich nicht beantworten.", "Die Quellen nennen kein Jahr.", "Die Dokumente sagen dazu nichts.",
        "Das steht nicht in den Quellen.", "Keine der Quellen nennt es.", "Das wei\u00df ich nicht.",
        "Das ist nicht bekannt.",
    ),
    "fr": (
        "Je ne peux pas r\u00e9pondre.", "Les sources ne mentionnent pas cela.", "Les documents ne disent rien.",
        "Ce n'est pas dans les sources.", "Aucune des sources ne le dit.", "Je ne sais pas.",
    ),
    "es": (
        "No puedo responder.", "Las fuentes no lo mencionan.", "Los documentos dicen nada de eso.",
        "No est\u00e1 en las fuentes.", "Ninguna de las fuentes lo dice.", "No lo s\u00e9.",
    ),
    "it": (
        "Non posso rispondere.", "Le fonti non lo dicono.", "I documenti dicono niente.", "Non \u00e8 nelle fonti.",
        "Nessuna delle fonti lo dice.", "Non lo so.",
    ),
    "pt": (
        "N\u00e3o posso responder.", "As fontes n\u00e3o o mencionam.", "Os documentos dizem nada.",
        "N\u00e3o est\u00e1 nas fontes.", "Nenhuma das fontes o diz.", "N\u00e3o sei.",
    ),
    "nl": (
        "Ik kan dit niet beantwoorden.", "De bronnen noemen het niet.", "De documenten zeggen niets.",
        "Het staat niet in de bronnen.", "Geen van de bronnen zegt het.", "Dat weet ik niet.",
    ),
    "zh": (
        "\u6211\u65e0\u6cd5\u56de\u7b54\u3002", "\u6587\u4e2d\u6ca1\u6709\u63d0\u53ca\u3002",
        "\u4e0d\u77e5\u9053\u3002",
    ),
    "ja": (
        "\u56de\u7b54\u3067\u304d\u307e\u305b\u3093\u3002", "\u308f\u304b\u308a\u307e\u305b\u3093\u3002",
        "\u8cc7\u6599\u306b\u306f\u8a18\u8f09\u304c\u3042\u308a\u307e\u305b\u3093\u3002",
    ),
}  # fmt: skip
ANSWERS = {
    "en": ("It is 5.", "He could not sign, and the treaty of 1900 ended.", "The text names 5, not 6."),
    "de": ("Es ist 5.", "Die Br\u00fccke kann 5 Tonnen tragen.", "Die Quelle nennt 5, nicht 6."),
    "fr": ("C'est 5.", "La source dit 5, pas 6."),
    "es": ("Es 5.", "No fue un puente.", "La fuente dice 5."),
    "it": ("\u00c8 5.", "Non era un ponte.", "La fonte dice 5."),
    "pt": ("\u00c9 5.", "N\u00e3o era uma ponte.", "A fonte diz 5."),
    "nl": ("Het is 5.", "De brug kan 5 ton dragen.", "De bron zegt 5."),
    "zh": ("\u6865\u957f5\u7c73\u3002", "\u6865\u4e0d\u957f\u3002"),
    "ja": (
        "\u6a4b\u306e\u9577\u3055\u306f5\u30e1\u30fc\u30c8\u30eb\u3067\u3059\u3002",
        "\u60c5\u5831\u306f5\u3064\u3042\u308a\u307e\u3059\u3002",
    ),
}  # fmt: skip


def test_every_language_has_both() -> None:
    assert set(PHRASES) == set(REFUSALS) == set(ANSWERS)


@pytest.mark.parametrize(("language", "text"), [(name, text) for name, texts in REFUSALS.items() for text in texts])
def test_a_refusal_is_one_in_its_language_alone(language: str, text: str) -> None:
    assert says_that_it_refuses(text, [language], [])
    assert only_refuses(text, [language], [])
    assert not says_that_it_refuses(text, [], ["something else"])


@pytest.mark.parametrize(("language", "text"), [(name, text) for name, texts in ANSWERS.items() for text in texts])
def test_an_answer_is_none(language: str, text: str) -> None:
    assert not says_that_it_refuses(text, [language], [])
    assert not only_refuses(text, [language], [])


@pytest.mark.parametrize(
    ("text", "says", "only"),
    [
        ("", False, False),
        ("...", False, False),
        ("I cannot answer. It is 5. It is blue.", True, True),
        ("It is 5. The sources do not say why. I don't know more.", True, True),
        ("It is 5. The sources do not say why.", True, False),
        ("It is 5. It is blue. The sources do not say why.", True, False),
        ("Although the sources do not say why, it is 5.", True, False),
        ("- Although the sources do not say why, it is 5.", True, False),
        ('"Although the sources do not say why", it is 5.', True, False),
        ("**Unable to answer**", True, True),
        ("- unable to answer", True, True),
        ("> [Unable to answer]", True, True),
        ("He was unable to answer.", False, False),
        ("I CAN\u2019T  answer\u200b this!", True, True),
        ("The sources\ndo not say.", True, True),
        ("I cannot\n  answer this.", True, True),
        ("The\nSources do not say.", True, False),
        ("It is\niOS. The sources do not say why. I don't know more.", True, True),
        ("- Iron: 26\n- Copper: the sources do not say", True, False),
        ("It is 5\nThe sources do not say why", True, False),
        ("It is 3.5. It is a.b. The sources do not say why.", True, False),
        ("It is 3.5 long. The sources do not say why.", True, False),
        ("It is 5! The sources do not say why", True, False),
        ("Is it 5? The sources do not say", True, False),
        # headings and lead-ins are no statements, and a wrapped line is one
        ("Answer:\nThe sources do not say.", True, True),
        ("## Answer\n\nThe provided documents do not mention it.", True, True),
        ("**Refusal**\nI cannot answer this question.", True, True),
        ("**Refusal:**\nI cannot answer this question.", True, True),
        ("__Refusal__:\nI cannot answer this question.", True, True),
        ("Based on the documents provided:\n\n- The boiling point is not mentioned in the sources.", True, True),
        ("The melting point\n(in K) is not mentioned in the sources.", True, True),
        ("I am Unable To\nAnswer this question.", True, True),
        ("I cannot\nAnswer.", True, True),
        ("## The sources do not say\nSee the annex of 1937.", True, True),
        ("## Answer\nIt is 5.\nThe sources do not say why.", True, False),
        ("Answer: it is 5\nThe sources do not say why", True, False),
        ("**It is 5.**\nThe sources do not say why.", True, False),
        ("It is 5 and I cannot.\nAnswer it does.", False, False),
        ("It is 5\n\nThe sources do not say why", True, False),
        ("Answer:", False, False),
    ],
)
def test_what_a_text_says_and_what_it_does(text: str, says: bool, only: bool) -> None:
    assert says_that_it_refuses(text, ["en"], []) is says
    assert only_refuses(text, ["en"], []) is only


@pytest.mark.parametrize(
    ("text", "says", "only"),
    [
        ("\u6211\u65e0\u6cd5\u98de\uff0c\u53ef\u4ee5\u56de\u7b54\u3002", False, False),
        ("\u6865\u957f5\u7c73\u3002\u6ca1\u6709\u63d0\u53ca\u539f\u56e0\u3002", True, False),
        ("\u6865\u957f5\u7c73\uff01\u6ca1\u6709\u63d0\u53ca\u539f\u56e0\uff01", True, False),
        ("\u6865\u957f5\u7c73\uff1f\u6ca1\u6709\u63d0\u53ca\u539f\u56e0\u3002", True, False),
        ("\u6839\u636e\u8d44\u6599\u65e0\u6cd5\n\u786e\u5b9a\u7b54\u6848", True, True),
    ],
    ids=["another half sentence", "full stop", "exclamation mark", "question mark", "wrapped"],
)
def test_marks_of_other_scripts_end_what_they_end_there(text: str, says: bool, only: bool) -> None:
    assert says_that_it_refuses(text, ["zh"], []) is says
    assert only_refuses(text, ["zh"], []) is only


def test_what_is_looked_for_is_written_as_a_folded_text_is() -> None:
    for language, pattern in PHRASES.items():
        assert not [one for one in pattern if not one.isascii() and folded(one) != one], language


@pytest.mark.parametrize(
    ("prompt", "answer", "strange"),
    [
        ("How long is bridge 7?", "The sources do not say how long bridge 7 is.", ""),
        ("How long is bridge 7?", "The sources do not say how long bridge 8 is.", "8"),
        ("How long is it?", "I cannot answer: 0 of the 2 sources name it.", ""),
        ("How long is it?", "I cannot answer: none of the 3 sources name it.", "3"),
        ("How long is it?", "I cannot answer: -1 sources name it.", "-1"),
        ("How long is it?", f"I cannot answer: {'9' * 30} {'8' * 30}.", f"{'9' * 30}, {'8' * 27}\u2026"),
    ],
)
def test_a_refusal_gives_no_number_that_the_prompt_does_not_hold(prompt: str, answer: str, strange: str) -> None:
    documents = [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}]
    (row,) = gates.parse_golden([{"id": "a", "prompt": prompt, "documents": documents, "answerable": False}])
    output = gates.Output(id="a", output=json.dumps({"answer": answer, "citations": [], "refusal": True}))
    score = gates.GATES["refusal_agreement"](
        [gates.read_answer(row, output, contract(refusal_text={"languages": ["en"]}))]
    )
    said = [f"refuses and gives {strange}, which the prompt does not hold"] if strange else []
    assert [miss.reason for miss in score.misses] == said


def test_a_wrapped_line_is_one_where_nouns_have_capitals() -> None:
    assert only_refuses("Ich kann die\nFrage nicht beantworten.", ["de"], [])
    assert not only_refuses("Es sind 5\nFragen kann ich nicht beantworten", ["de"], [])


@pytest.mark.parametrize("line", ["a\n", "a\u2028", "!\n", ":\n", "*", "!", "**\n", "cannot\n", "\n"])
def test_a_million_characters_of_lines_are_read_as_ten_are(line: str) -> None:
    """A contract allows so many: each is looked at once, or this does not end."""
    assert only_refuses(line * (1_000_000 // len(line)) + "x", ["en"], []) is only_refuses(line * 10 + "x", ["en"], [])

"""Whether a text refuses, in the words of the languages that a contract declares and in its own.

Words are a sign and not a proof: a refusal in words that are not listed is not seen. So a contract lists its own, and
the self-test of the gates shows whether the reference answers are understood.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gates.words import folded, plain

SENTENCE = re.compile(r"[^.!?\u3002]+(?:[.!?](?!\s|$|[\u3040-\u9fff])[^.!?\u3002]*)*")
"""In a folded text: marks within a number or a name end none, those before a Chinese or Japanese character do."""
ENDS = (".", "!", "?", "\u3002")
BOLD = ("**", "__")
WORD = r"[^\W\d]+ "
"""A word in between; a number or a comma is what an answer has."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """How one language says that nothing can be answered, as alternatives of a regular expression."""

    cannot: str
    answer: str
    sources: str
    says: str
    no: str
    """In "the sources do not say"."""
    after: str
    """In "the sources say nothing"."""
    none: str
    """In "no source says"."""
    within: str
    """In "not in the sources"."""
    also: str
    """Whole phrases."""

    @property
    def pattern(self) -> str:
        said = (
            rf"\b(?:{self.cannot}) ?(?:{WORD}){{0,6}}(?:{self.answer})",
            rf"\b(?:{self.sources}) (?:{WORD}){{0,1}}(?:{self.no}) ?(?:{WORD}){{0,3}}(?:{self.says})",
            rf"\b(?:{self.sources}) (?:{self.says})\w* (?:{WORD}){{0,4}}(?:{self.after})\b",
            rf"\b(?:{self.no}) ?(?:{WORD}){{0,2}}(?:{self.within}) (?:{WORD}){{0,2}}(?:{self.sources})\b",
            rf"\b(?:{self.none}) (?:\w+ ){{0,2}}(?:{self.sources}) (?:{WORD}){{0,3}}(?:{self.says})",
            self.also,
        )
        return "|".join(said)


LANGUAGES: Mapping[str, Words] = {
    "en": Words(
        cannot="(?:i|we|it is|i am|i'm) (?:(?:am|are) )?(?:cannot|can't|can not|could not|couldn't|unable to"
        "|not able to"
        "|not possible to|impossible to)",
        answer="answer|tell|say|determine|find|confirm|provide|help|be answered|be determined|be found",
        sources="sources?|documents?|texts?|passages?|context|articles?|excerpts?|materials?",
        says="say|state|mention|tell|give|name|contain|provide|answer|include|specify|support|cover|have|make",
        no="do not|don't|does not|doesn't|did not|didn't|not|isn't|aren't|nowhere|nothing|never",
        after="nothing|no",
        none="no|none of the|neither of the|neither",
        within="in|by|from",
        also=r"\b(?:i|we) (?:do not|don't) (?:know|have)|^unable to\b"
        r"|\b(?:cannot|can't) be (?:answered|determined|told|said)\b"
        r"|\b(?:insufficient|not enough|no) (?:\w+ )?information\b"
        r"|\b(?:is|are|was|were)(?: not|n't) (?:stated|mentioned|given|specified|known|available|provided|discussed)\b"
        r"|\bthere (?:is|was|are)(?: no|n't any) mention\b"
        r"|\b(?:sources?|documents?|texts?|passages?|context|articles?) "
        r"(?:(?:is|are|remains?) silent|lacks? (?:\w+ ){0,2}(?:information|details?|answer))\b"
        r"|\bnothing (?:is|was) (?:said|known)",
    ),
    "de": Words(
        cannot="kann|k\u00f6nnen|konnte|l\u00e4sst sich",
        answer="nicht (?:beantwort|sagen|finden|bestimm|ermitteln)|keine antwort",
        sources="quellen?|dokumenten?|dokumente?|texten?|texte?|unterlagen",
        says="sagen|sagt|nennen|nennt|enthalten|enth\u00e4lt|erw\u00e4hnen|erw\u00e4hnt|geben|gibt|steht|stehen",
        no="nicht|nichts|keine|keinen|kein|keinerlei",
        after="nicht|nichts|keine|keinen|kein|keinerlei",
        none="keine|keine der|keine dieser|keiner der|keines der",
        within="in|aus|von",
        also=r"\bweiss (?:ich |es )*nicht\b|\bist nicht (?:bekannt|angegeben|genannt)\b|\bsteht nirgends\b",
    ),
    "fr": Words(
        cannot="ne peux|ne peut|ne pouvons|ne puis|ne parviens|n'est pas possible|impossible",
        answer="r\u00e9pondre|dire|trouver|d\u00e9terminer",
        sources="sources?|documents?|textes?",
        says="dit|disent|mentionn|contien|indiqu|donn|pr\u00e9cis",
        no="ne|n'|pas",
        after="rien|pas|aucune|aucun",
        none="aucune|aucun|aucune des|aucun des",
        within="dans|par",
        also=r"\bne sais pas\b|\bn'est pas (?:indiqu|mentionn|pr\u00e9cis|connu)|\bpas assez d'informations?\b",
    ),
    "es": Words(
        cannot="no puedo|no podemos|no es posible|no se puede|imposible",
        answer="responder|contestar|decir|encontrar|determinar",
        sources="fuentes?|documentos?|textos?",
        says="dice|mencion|contien|indic|dan|da|inclu|especific",
        no="no|tampoco|nada",
        after="nada",
        none="ninguna|ning\u00fan|ninguna de las|ninguno de los",
        within="en|por",
        also=r"\bno (?:lo )?(?:s\u00e9|sabemos)\b|\bno se (?:menciona|indica|dice|especifica)\b",
    ),
    "it": Words(
        cannot="non posso|non possiamo|non \u00e8 possibile|non si pu\u00f2|non riesco",
        answer="rispondere|dire|trovare|determinare",
        sources="fonti|fonte|documenti|documento|testi|testo",
        says="dic|menzion|conten|conteng|indic|dann|d\u00e0|riport|specific",
        no="non|niente|nulla",
        after="niente|nulla",
        none="nessuna|nessun|nessuna delle|nessuno dei",
        within="nelle|nella|nei|nel|dalle|dai",
        also=r"\bnon (?:lo )?(?:so|sappiamo)\b|\bnon \u00e8 (?:indicat|menzionat|specificat|not)",
    ),
    "pt": Words(
        cannot="n\u00e3o posso|n\u00e3o podemos|n\u00e3o \u00e9 poss\u00edvel|n\u00e3o consigo",
        answer="responder|dizer|encontrar|determinar",
        sources="fontes?|documentos?|textos?",
        says="diz|mencion|cont\u00e9m|cont\u00eam|indic|d\u00e3o|d\u00e1|inclu|especific",
        no="n\u00e3o|nada",
        after="nada",
        none="nenhuma|nenhum|nenhuma das|nenhum dos",
        within="nas|na|nos|no|pelas|pelos",
        also=r"\bn\u00e3o (?:sei|sabemos)\b|\bn\u00e3o (?:\u00e9|est\u00e1) (?:indicad|mencionad|especificad)",
    ),
    "nl": Words(
        cannot="kan|kunnen|kon",
        answer="niet (?:beantwoord|zeggen|vinden|bepalen|worden beantwoord)|geen antwoord",
        sources="bronnen|bron|documenten|document|teksten|tekst",
        says="zeggen|zegt|noemen|noemt|bevat|vermeld|geven|geeft",
        no="niet|niets|geen|nergens",
        after="niet|niets|geen",
        none="geen|geen van de|geen enkele",
        within="in|uit|door",
        also=r"\bweet (?:ik )?(?:het )?niet\b|\bis niet (?:bekend|vermeld|genoemd)\b",
    ),
}
UNSPACED = {
    "zh": "(?:\u65e0\u6cd5|\u4e0d\u80fd|\u7121\u6cd5)[^\\d,]{0,12}"
    "(?:\u56de\u7b54|\u786e\u5b9a|\u78ba\u5b9a|\u5224\u65ad|\u5f97\u77e5)"
    "|(?:\u6ca1\u6709|\u6c92\u6709|\u672a)[^\\d,]{0,8}"
    "(?:\u63d0\u53ca|\u63d0\u5230|\u8bf4\u660e|\u8aaa\u660e|\u7ed9\u51fa|\u4fe1\u606f)|\u4e0d\u77e5\u9053",
    "ja": "(?:\u56de\u7b54|\u7b54\u3048\u308b\u3053\u3068|\u5224\u65ad)[^\\d\u3001]{0,6}"
    "(?:\u3067\u304d\u307e\u305b\u3093|\u3067\u304d\u306a\u3044)|\u308f\u304b\u308a\u307e\u305b\u3093"
    "|(?:\u8a18\u8f09|\u8a18\u8ff0|\u66f8\u304b\u308c|\u60c5\u5831)[^\\d\u3001]{0,6}"
    "(?:\u3042\u308a\u307e\u305b\u3093|\u3044\u307e\u305b\u3093|\u306a\u3044)",
}
"""Chinese: cannot answer, not mentioned, does not know; Japanese: cannot answer, does not know, is not written."""
PHRASES: Mapping[str, str] = {**{name: one.pattern for name, one in LANGUAGES.items()}, **UNSPACED}
CONCESSION = re.compile(r"^(?:although|though|while|whereas|obwohl|auch wenn|bien que|aunque|sebbene|embora|hoewel)\b")


def says_that_it_refuses(text: str, languages: Sequence[str], phrases: Sequence[str]) -> bool:
    """Whether some sentence of the text refuses: what a refusal has to say."""
    return any(_refuses(one, _pattern(tuple(languages), tuple(phrases))) for one in _sentences([_read(text)]))


def only_refuses(text: str, languages: Sequence[str], phrases: Sequence[str]) -> bool:
    """Whether the first sentence, or most of them, refuse: what no answer may do.

    "It is 5. The sources do not say why." answers, and so does "Although the sources do not say why, it is 5."
    """
    pattern = _pattern(tuple(languages), tuple(phrases))
    refusing = [_refuses(one, pattern) and not CONCESSION.match(one) for one in _sentences(_lines(text, pattern))]
    return bool(refusing) and (refusing[0] or 2 * sum(refusing) > len(refusing))


def _lines(text: str, pattern: re.Pattern[str]) -> list[str]:
    """The lines of a text as read, each a statement: a wrapped one is one, and no heading or lead-in is any."""
    lines, before, refused = list[list[str]](), "", False
    for line in text.splitlines():
        read = _read(line)
        refuses = _refuses(read, pattern)
        if not refuses and (not read.strip() or _leads_in(line)):
            before, refused = "", False
            continue
        wrapped = before and not refuses and not refused and _refuses(f"{before} {read}", pattern)
        if lines and (wrapped or line.lstrip(" \t([")[:1].islower()):
            lines[-1].append(read)
        else:
            lines.append([read])
        before, refused = "" if _bare(read).endswith(ENDS) else read, refuses
    return [" ".join(one) for one in lines] or [_read(text)]


def _leads_in(line: str) -> bool:
    """Whether a line says nothing by itself: what ends in a colon, and headings of Markdown."""
    bare, bold = _bare(line), line.strip().removesuffix(":").startswith(BOLD) and line.strip(" :").endswith(BOLD)
    return bare.endswith((":", "\uff1a")) or line.lstrip().startswith("#") or (bold and not bare.endswith(ENDS))


def _bare(line: str) -> str:
    """Without what marks quotations and emphasis behind it."""
    return line.rstrip(" \t\"')]*_")


def _sentences(read: Sequence[str]) -> list[str]:
    """The sentences of what was read, without what marks lists, quotations and emphasis around them."""
    found = (one.strip(" \"'()[]-*#>") for text in read for one in SENTENCE.findall(text))
    return [one for one in found if one]


def _read(text: str) -> str:
    """As sentences are looked for in it, and phrases: in one spelling, on one line."""
    return folded(plain(text))


def _refuses(sentence: str, pattern: re.Pattern[str]) -> bool:
    return pattern.search(sentence) is not None


@lru_cache(maxsize=64)
def _pattern(languages: tuple[str, ...], phrases: tuple[str, ...]) -> re.Pattern[str]:
    own = (re.escape(_read(phrase)) for phrase in phrases)
    return re.compile("|".join([*(PHRASES[language] for language in languages), *own]))

"""Whether a text refuses, in the words of the languages that a contract declares and in its own.

A refusal speaks of the sources, of information, or of knowing and being able to answer. That a thing is not stated or
not known ("The price was not specified.") may be an answer: it agrees with a field that refuses and with one that
answers. Words are a sign and not a proof: a refusal in words that are not listed is not seen. So a contract lists its
own, and the self-test of the gates shows whether the reference answers are understood.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gates.words import folded, plain

SENTENCE = re.compile(r"[^.!?\u3002]+(?:[.!?](?!\s|$|[\u3040-\u9fff])[^.!?\u3002]*)*")
"""In a folded text: marks within a number or a name end none, those before a Chinese or Japanese character do."""
ENDS = (".", "!", "?", "\u3002")
BOLD = ("**", "__")
WORD = r"[^\W\d]+(?:['-][^\W\d]+)* "
"""A word in between; a number or a comma is what an answer has."""


@dataclass(frozen=True, kw_only=True)
class Unspaced:
    """How one language refuses, as alternatives of a regular expression."""

    refuses: str
    """Anywhere in a sentence."""
    thing: str
    """That a thing is not stated or known: it says so where the field refuses, and is an answer where that answers."""
    whole: str
    """As the whole sentence."""
    lead: str
    """A sentence of courtesy, which says nothing by itself."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """The same, of a language that spaces its words, by what a refusal consists of."""

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
    thing: str
    whole: str
    lead: str
    turned: bool = False
    """Whether the verb may stand before the sources: "dazu sagen die Quellen nichts"."""

    @property
    def refuses(self) -> str:
        apart = rf"(?!{self.says}){WORD}{WORD}"
        """Two words between sources and negation: "the document says he did not answer" answers."""
        said = [
            rf"\b(?:{self.cannot}) ?(?:{WORD}){{0,6}}(?:{self.answer})",
            rf"\b(?:{self.sources}) (?:{WORD}|{apart})?(?:{self.no}) ?(?:{WORD}){{0,4}}(?:{self.says})",
            rf"\b(?:{self.sources}) (?:{self.says})\w* (?:{WORD}){{0,4}}(?:{self.after})\b",
            rf"\b(?:{self.no}) ?(?:{WORD}){{0,3}}(?:{self.within}) (?:{WORD}){{0,2}}(?:{self.sources})\b",
            rf"\b(?:{self.none}) (?:\w+ ){{0,2}}(?:{self.sources}) (?:{WORD}){{0,3}}(?:{self.says})",
            self.also,
        ]
        if self.turned:
            said.append(
                rf"\b(?:{self.says})\w* (?:{WORD}){{0,4}}(?:{self.sources}) (?:{WORD}){{0,4}}(?:{self.after})\b"
            )
        return "|".join(said)


LANGUAGES: Mapping[str, Words] = {
    "en": Words(
        cannot="(?:i|we|it is|it's|i am|i'm) (?:(?:am|are|was|were) )?(?:cannot|can't|can not|could not|couldn't"
        "|unable to"
        "|isn't possible to|not able to|not possible to|impossible to)",
        answer="answer|tell|say|determine|find|confirm|provide|help|be answered|be determined|be found|be inferred"
        "|be established",
        sources="sources?(?! code)|documents?|texts?|passages?|context(?! window)|articles?|excerpts?|snippets?"
        "|records?|(?:provided|given) materials?",
        says="say|state|mention|tell|give|name|contain|provide|answer|include|specify|support|cover|address|discuss"
        "|show|specific|infer|go into|reveal|indicate|clarify|explain|report|describe|list|touch"
        "|have (?:any |enough |the |this |that )?(?:information|details?|answer|mention)",
        no="do not|don't|does not|doesn't|did not|didn't|not|isn't|aren't|nowhere|nothing|never|fails? to|missing"
        "|absent",
        after="nothing|no",
        none="no|none of the|neither of the|neither|nothing in the",
        within="in|by|from",
        also=r"\b(?:i|we) (?:do not|don't) (?:know|have (?:\w+ ){0,2}(?:information|details?|answer|data|context))"
        r"|^unable to\b"
        r"|\b(?:i|we) have no (?:\w+ )?(?:information|details?|answer|data)\b"
        r"|^(?:this|that|it|the (?:answer|question|information)|(?:this|that|your) question)\b(?: \w+){0,3} "
        r"(?:cannot|can't|could not) be (?:answered|determined|told|said|found|inferred|established)\b"
        r"|\b(?:cannot|can't) be (?:answered|determined|told|said|found) (?:\w+ )?(?:from|with|by|based)\b"
        r"|\b(?:insufficient|not enough|isn't enough) (?:\w+ )?(?:information|evidence|context|details?) (?:to|in"
        r"|from|is)\b"
        r"|^(?:there (?:is|was|are) )?(?:insufficient|not enough|no) (?:\w+ )?(?:information|details?|evidence"
        r"|answer|data)"
        r"(?:$| (?:on|about|regarding|concerning)\b| (?:is |are |was |can be )?(?:available|given|provided|found"
        r"|to be found)\b)"
        r"|^(?:it|this|that|this information|the (?:answer|information))"
        r" (?:(?:is|are|was|were)(?: not|n't) (?:\w+ )?(?:stated|mentioned|given|specified|known|available|provided"
        r"|discussed|clear)"
        r"|is (?:unknown|unclear|unanswerable))(?: here| anywhere)?$"
        r"|^there (?:is|was|are)(?: no|n't any) mention\b|\bquestion is unanswerable\b|\bwe are not told\b|^(?:i"
        r"|we) have no way (?:of knowing|to know|to tell)\b"
        r"|\b(?:sources?|documents?|texts?|passages?|context|articles?|excerpts?) "
        r"(?:(?:is|are|remains?) silent|makes? no mention|omits?|leaves? (?:it|this|that) open"
        r"|lacks? (?:\w+ ){0,2}(?:information|details?|answer))\b"
        r"|\bnothing (?:is|was) (?:said|known) (?:about|on) (?:it|this|that)\b",
        thing=r"\b(?:is|are|was|were|remains?)(?: not|n't) (?:\w+ )?(?:stated|mentioned|given|specified|known"
        r"|available|provided"
        r"|discussed|answered|found)\b|\b(?:is|are|was|remains?) (?:unknown|unclear|unanswered|unanswerable)\b"
        r"|\b(?:insufficient|not enough|no) (?:\w+ )?information\b|\bthere (?:is|was|are)(?: no|n't any) mention\b"
        r"|\bnothing (?:is|was) (?:said|known)|\b(?:sources?|documents?|texts?|context) (?:lack|only (?:discuss"
        r"|mention|say|cover))"
        r"|\b(?:cannot|can't) be (?:answered|determined|told|said)\b",
        whole="n/?a|not (?:stated|mentioned|given|specified|known|available|provided|found|clear|answerable)|unknown"
        "|unclear"
        "|unanswerable|undetermined|no (?:answer|idea|information|data)",
        lead=r"(?:what an? |that is an? |that's an? |an? )?(?:great|good|interesting|excellent) question|thank(?:s"
        r"| you)(?: very much)?|sorry|hello|hi"
        r"|i am sorry|i'm sorry|i apologi[sz]e|of course|sure|certainly|unfortunately",
    ),
    "de": Words(
        cannot="kann|k\u00f6nnen|konnten?|l\u00e4sst sich|lassen sich",
        answer="nicht (?:beantwort|sagen|bestimm|ermitteln|feststellen|kl\u00e4ren|ableiten)|(?:frage|antwort"
        "|information|angabe)\\w* (?:\\w+ ){0,5}nicht (?:finden|geben)"
        "|(?:quellen|dokumenten|text|texten|unterlagen|kontext) nicht finden|nichts (?:dazu |dar\u00fcber )?(?:sagen"
        "|finden)|keine antwort geben",
        sources="quellen?|dokument(?:en?)?|text(?:en?)?|textstellen?|unterlagen|kontext|ausz\u00fcgen?|ausz\u00fcge",
        says="sag|nenn|genannt|enth[a\u00e4]lt|erw\u00e4hn|gib|geb|steh|find|mach|angegeben|angaben|hervor"
        "|ersichtlich|entnehm|behandel|beschr[ie]|geht|geben|aufschluss|erl\u00e4uter|kl\u00e4r|rede|erfahr"
        "|eingeh|m\u00f6glich",
        no="nicht|nichts|fehlt|fehlen|keine|keinen|kein|keinerlei",
        after="nicht|nichts|keine|keinen|kein|keinerlei",
        none="keine|keine der|keine dieser|keiner der|keines der|nichts in den",
        within="in|aus|von|im|anhand",
        also=r"\bweiss (?:ich |es |die antwort |das |leider )*nicht\b|^(?:das|es"
        r"|dies) ist (?:leider )?nicht (?:bekannt|angegeben|genannt)$"
        r"|\bsteht nirgends\b|\bschweig(?:t|en)\b(?: \w+){0,3} (?:quellen|dokumente|text)|\b(?:quellen|dokumente"
        r"|text) schweig(?:t|en)"
        r"|\b(?:liegen|gibt es|habe ich|haben wir)(?: \w+){0,4} kein(?:e|erlei) (?:\w+ )?(?:information|angabe"
        r"|hinweis|daten|auskunft|antwort)"
        r"|^es (?:liegen|gibt) kein(?:e|erlei) (?:information|angabe|hinweis)"
        r"|^(?:dazu|hierzu|dar\u00fcber|hier\u00fcber|davon|darauf) (?:\w+ ){1,4}(?:nichts|keine)\b"
        r"|\bfehlen (?:\w+ ){0,2}(?:die )?(?:informationen|angaben)|\bantwort ist (?:\w+ ){0,4}nicht m\u00f6glich"
        r"|^ich (?:konnte|kann|finde) (?:\w+ ){0,2}(?:keine (?:angabe|information|antwort)|nichts)"
        r"|\b(?:informationen|angaben) (?:\w+ ){0,3}reichen (?:\w+ ){0,3}nicht\b|\b(?:die )?antwort ist (?:unbekannt"
        r"|nicht bekannt)\b"
        r"|\bkeine (?:auskunft|aussage) (?:geben|machen|m\u00f6glich)",
        thing=r"\bnicht (?:bekannt|angegeben|genannt|erw\u00e4hnt|ersichtlich|hervor|beantwortet)\b"
        r"|\bist unbekannt\b|\bkeine (?:angabe|information)",
        whole="nicht (?:angegeben|genannt|erw\u00e4hnt|bekannt)|unbekannt|unklar|keine (?:angaben?|antwort"
        "|information(?:en)?|ahnung)(?: m\u00f6glich)?|k\\. ?a",
        lead=r"(?:eine )?(?:gute|tolle|interessante|spannende) frage|danke?\w*|vielen dank|leider|entschuldig\w*"
        r"|hallo|gerne?|tut mir leid|es tut mir leid",
        turned=True,
    ),
    "fr": Words(
        cannot="ne peux|ne peut|ne pouvons|ne puis|ne parviens|n'est pas possible|impossible|pas en mesure"
        "|ne permet(?:tent)? pas|ne suis pas capable",
        answer="r\u00e9pondre|dire|d\u00e9terminer|le savoir|trouver (?:\\w+ ){0,2}(?:r\u00e9ponse|information"
        "|documents|sources|texte)",
        sources="sources?|documents?|textes?|extraits?|contexte|passages?",
        says="di[ts]|disent|mentionn|contien|indiqu|donn|pr\u00e9cis|parle|figur|abord|trouv|fourni|permet"
        "|\u00e9voqu|apport|\u00e9clair|expliqu|d\u00e9cri|r\u00e9pond",
        no="ne|n'\\w*|pas|rien",
        after="rien|pas|aucune|aucun",
        none="aucune?|aucune? des|aucune? de ces|rien dans les?",
        within="dans|par",
        also=r"\bne (?:le )?(?:sais|savons) pas\b|\bn'en sais rien\b|\bne (?:connais|connaissons) pas la r\u00e9ponse"
        r"|\bpas assez d'informations?\b|\binformations? (?:\w+ ){0,3}insuffisante|\b(?:r\u00e9ponse"
        r"|information) (?:est inconnue|n'est pas (?:disponible|connue|fournie|indiqu))"
        r"|\bn'(?:ai|avons) (?:pas|rien|aucune?)(?: \w+)? (?:trouv\u00e9 )?(?:d'information|(?:cette"
        r"|l')? ?(?:information|r\u00e9ponse)|\u00e0 ce sujet|dans)"
        r"|\bne dispos\w+ (?:pas|d'aucune)\b(?: \w+){0,3} ?(?:d')?(?:information|r\u00e9ponse)|\bn'y a (?:pas"
        r"|aucune?) (?:d')?(?:information|r\u00e9ponse|mention|donn\u00e9es)"
        r"|^aucune (?:information|mention|r\u00e9ponse|donn\u00e9e)\b|\brien n'est (?:dit|indiqu\u00e9"
        r"|pr\u00e9cis\u00e9)|\babsente?s? (?:des|du) (?:sources|documents|texte)|\b(?:sources?|documents?"
        r"|textes?) (?:est|sont|rest\w+) (?:muet|silencieu)"
        r"|^(?:ce|cela|il|elle|c') ?n'est pas (?:indiqu|mentionn|pr\u00e9cis|connu)\w*$|\b(?:cette"
        r"|l')? ?information ne figure pas",
        thing=r"\bn'est pas (?:indiqu|mentionn|pr\u00e9cis|connu|disponible|fourni)|\best inconnue?\b",
        whole="non (?:pr\u00e9cis\u00e9e?|indiqu\u00e9e?|mentionn\u00e9e?|communiqu\u00e9e?|renseign\u00e9e?"
        "|disponible|connue?)|inconnue?|(?:je|on|nous) l'ignor\\w+|pas de r\u00e9ponse|aucune (?:r\u00e9ponse"
        "|information|id\u00e9e)",
        lead=r"(?:tr\u00e8s |c'est une )?(?:bonne|excellente) question|merci\w*|d\u00e9sol\u00e9e?"
        r"|je suis d\u00e9sol\u00e9e?|bonjour|bien s\u00fbr|malheureusement",
    ),
    "es": Words(
        cannot="no puedo|no podemos|no es posible|no se puede|imposible|no permiten?|no (?:soy|estoy) (?:capaz"
        "|en condiciones) de",
        answer="responder|contestar|decir|determinar|saberlo|ayudar|encontrar (?:\\w+ ){0,2}(?:respuesta"
        "|informaci\u00f3n|documentos|fuentes|texto)",
        sources="fuentes?|documentos?|textos?|contexto|fragmentos?|pasajes?",
        says="dice|mencion|contien|indic|dan|inclu|especific|habla|aparec|figur|trata|proporcion|ofrec|encuentr"
        "|permit|aporta|aclar|trae|explic|describ|revel|abord|respond",
        no="no|tampoco|nada|falta|faltan",
        after="nada|ningun[oa]?|ning\u00fan",
        none="ninguna|ning\u00fan|ninguna de las|ninguno de los|nada en los|nada en las",
        within="en|por",
        also=r"\bno (?:lo )?(?:s\u00e9|sabemos)\b|\bno conozco la respuesta|^no se (?:menciona|indica|dice"
        r"|especifica|sabe)$|^se desconoce$"
        r"|\bno (?:hay|tengo|tenemos|dispongo de|existe)(?: \w+){0,2} (?:informaci\u00f3n|datos?|respuesta"
        r"|menci\u00f3n)"
        r"|\b(?:informaci\u00f3n|respuesta) (?:es|est\u00e1|resulta) (?:insuficiente|desconocida)"
        r"|\b(?:informaci\u00f3n|respuesta) no (?:est\u00e1|es|figura|aparece)"
        r"|\bno (?:encuentro|encontr\u00e9|he encontrado|encontramos)(?: \w+){0,4} (?:informaci\u00f3n|dato"
        r"|respuesta|eso|texto|documentos|fuentes|ello)"
        r"|\b(?:texto|fuentes?|documentos?) guardan? silencio|^(?:nada|no) (?:\w+ ){1,3}(?:sobre|de) (?:ello|eso"
        r"|esto)$",
        thing=r"\bno (?:est\u00e1|es|fue) (?:indicad|mencionad|especificad|conocid|disponible)|\bse desconoce\b"
        r"|\bes desconocid[oa]\b|\bno se (?:menciona|indica|dice|especifica|sabe|conoce)\b",
        whole="no (?:indicado|especificado|mencionado|disponible|consta|figura|aparece)|desconocid[oa]|se desconoce"
        "|(?:lo )?ignor(?:o|amos)|sin (?:respuesta|informaci\u00f3n|datos)|ni idea",
        lead=r"\u00a1?(?:muy )?(?:buena|excelente|gran) pregunta|\u00a1?(?:muchas )?gracias\w*|lo siento|perd\u00f3n"
        r"|\u00a1?hola|por supuesto|claro|lamentablemente",
    ),
    "it": Words(
        cannot="non posso|non possiamo|non \u00e8 possibile|non si pu\u00f2|non riesco|non (?:sono|siamo) in grado"
        "|impossibile|non permett(?:e|ono)|non consente",
        answer="rispondere|dire|determinar|saperlo|trovare (?:\\w+ ){0,2}(?:risposta|informazion|documenti|fonti"
        "|testo)",
        sources="fonti|fonte|documenti|documento|testi|testo|contesto|estratti|estratto|brani|brano",
        says="dic|menzion|conten|indic|danno|d\u00e0|riport|specific|parla|compar|tratta|precis|forni|presente|trov"
        "|permett|chiar|affront|spieg|descri|rivel|rispond|risult",
        no="non|niente|nulla|manca|mancano",
        after="niente|nulla|nessun[oa]?|alcun[oa]?",
        none="nessuna|nessun|nessuna delle|nessuno dei|niente nei|nulla nelle",
        within="nelle|nella|nei|nel|dalle|dai",
        also=r"\bnon (?:lo )?(?:so|sappiamo)\b|\bnon conosco la risposta|^non \u00e8 (?:indicat|menzionat|specificat"
        r"|not)\w*$"
        r"|\bnon (?:ci sono|c'\u00e8|ho|abbiamo|dispongo di)(?: \w+){0,2} (?:informazion|dati|risposta|menzion)"
        r"|\b(?:informazion[ei]|risposta) (?:\w+ )?(?:insufficient|sconosciuta)|\binformazione non \u00e8 (?:present"
        r"|disponibil|fornit)"
        r"|\bnon ho trovato(?: \w+){0,4} (?:informazion|risposta|testo|documenti|fonti|riguardo)|\b(?:testo|fonti"
        r"|documenti) (?:tace|tacciono)\b",
        thing=r"\bnon \u00e8 (?:indicat|menzionat|specificat|not|disponibil)|\b\u00e8 sconosciut",
        whole="(?:lo )?ignor(?:o|iamo)|non (?:indicat[oa]|specificat[oa]|menzionat[oa]|disponibile|not[oa])"
        "|sconosciut[oa]|nessuna (?:risposta|informazione|idea)",
        lead=r"(?:bella|buona|ottima) domanda|grazie\w*|mi dispiace|scusa\w*|ciao|certo|purtroppo",
    ),
    "pt": Words(
        cannot="n\u00e3o posso|n\u00e3o podemos|n\u00e3o \u00e9 poss\u00edvel|n\u00e3o consigo|n\u00e3o se pode"
        "|n\u00e3o (?:sou|estou) (?:capaz|em condi\u00e7\u00f5es) de|imposs\u00edvel|n\u00e3o permitem?",
        answer="responder|dizer|determinar|saber|ajudar|encontrar (?:\\w+ ){0,2}(?:resposta|informa\u00e7|documentos"
        "|fontes|texto)",
        sources="fontes?|documentos?|textos?|contexto|trechos?|excertos?|passagens?",
        says="diz|mencion|cont[\u00e9\u00ea]m|indic|d\u00e3o|d\u00e1|inclu|especific|fala|aparec|consta|trata|abord"
        "|inform|fornec|permit|traz|esclarec|explic|descrev|revel|respond|clar",
        no="n\u00e3o|nada|falta|faltam",
        after="nada|nenhuma?|nenhum",
        none="nenhuma|nenhum|nenhuma das|nenhum dos|nada nos|nada nas",
        within="nas|na|nos|no|pelas|pelos",
        also=r"\bn\u00e3o (?:o )?(?:sei|sabemos)\b|\bn\u00e3o conhe\u00e7o a resposta|^n\u00e3o (?:\u00e9"
        r"|est\u00e1) (?:indicad|mencionad|especificad)\w*$"
        r"|\bn\u00e3o (?:h\u00e1|tenho|temos|existem?|disponho de)(?: \w+){0,2} (?:informa\u00e7|dados|resposta"
        r"|men\u00e7\u00e3o)"
        r"|\b(?:informa\u00e7\u00f5es|informa\u00e7\u00e3o|resposta) (?:s\u00e3o|\u00e9) (?:insuficiente"
        r"|desconhecida)|\binforma\u00e7\u00e3o n\u00e3o (?:consta|est\u00e1|\u00e9|figura)"
        r"|^(?:nada|n\u00e3o) (?:\w+ ){1,3}(?:sobre|disso) ?(?:isso|isto)?$|\bn\u00e3o (?:encontrei|encontro"
        r"|encontramos)(?: \w+){0,4} (?:informa\u00e7|resposta|texto|documentos|fontes|isso)",
        thing=r"\bn\u00e3o (?:\u00e9|est\u00e1|foi) (?:indicad|mencionad|especificad|conhecid|dispon\u00edvel)"
        r"|\b\u00e9 desconhecid",
        whole="(?:o )?ignor(?:o|amos)|n\u00e3o (?:indicado|informado|especificado|mencionado|dispon\u00edvel|consta)"
        "|desconhecid[oa]|sem (?:resposta|informa\u00e7\u00e3o|informa\u00e7\u00f5es|dados)",
        lead=r"(?:boa|\u00f3tima|excelente) pergunta|(?:muito )?obrigad[oa]\w*|desculp\w*|sinto muito|lamento"
        r"|ol\u00e1|claro|infelizmente",
    ),
    "nl": Words(
        cannot="kan|kunnen|kon|konden",
        answer="niet (?:beantwoord|zeggen|bepalen|worden beantwoord)|geen antwoord|(?:bronnen|documenten|tekst"
        "|teksten|antwoord) niet (?:vinden|zien)",
        sources="bronnen|bron|documenten|document|teksten|tekst|context|fragmenten|passages",
        says="zeg|noem|bevat|vermeld|geven|geeft|staa|gevonden|besproken|komt|komen|genoemd|valt|blijkt|behandel"
        "|bied|duidelijk|gaat|gaan|uitleg|verklar|beschrijv|beantwoord",
        no="niet|niets|ontbreekt|ontbreken|geen|nergens",
        after="niet|niets|geen",
        none="geen|geen van de|geen enkele|niets in de",
        within="in|uit|door",
        also=r"\bweet (?:ik )?(?:het |dit |dat |het antwoord |helaas )*niet\b|^(?:dat|dit|het) is niet (?:bekend"
        r"|vermeld|genoemd)$"
        r"|\b(?:er (?:is|zijn)|(?:ik )?heb(?: ik)?)(?: \w+){0,3} (?:geen|onvoldoende) (?:\w+ )?(?:informatie"
        r"|gegevens|antwoord|aanwijzing)"
        r"|^(?:daarover|hierover|daar|hier|dat|dit) (?:\w+ ){1,3}(?:niets (?:over )?(?:gezegd|bekend|vermeld)"
        r"|niet te (?:bepalen|zeggen|beantwoorden))|\bantwoord is (?:onbekend|niet bekend)|\b(?:bronnen|tekst"
        r"|documenten) zwijg",
        thing=r"\bniet (?:bekend|vermeld|genoemd|gegeven|beschikbaar)\b|\bis onbekend\b"
        r"|\bkan niet (?:worden beantwoord|beantwoord worden)",
        whole="niet (?:bekend|vermeld|genoemd|gegeven|beschikbaar)|onbekend|geen (?:antwoord|informatie|idee)"
        "|onduidelijk",
        lead=r"(?:goede|leuke|interessante|mooie) vraag|bedankt\w*|dank\w*|sorry|het spijt me|hallo|natuurlijk"
        r"|helaas",
        turned=True,
    ),
}
LOOKS = (
    "(?:\u6765\u6e90|\u4f86\u6e90|\u8d44\u6599|\u8cc7\u6599|\u6587\u6863|\u6587\u6a94"
    "|\u6587\u4ef6|\u6587\u4e2d|\u6587\u672c|\u6750\u6599|\u4e0a\u4e0b\u6587|\u539f\u6587|\u6587\u7ae0)"
)
UNABLE = "(?:\u65e0\u6cd5|\u4e0d\u80fd|\u7121\u6cd5|\u96be\u4ee5|\u6ca1\u6cd5|\u65e0\u4ece)"
PAPERS = (
    "(?:\u51fa\u5178|\u8cc7\u6599|\u6587\u66f8|\u60c5\u5831\u6e90|\u672c\u6587|\u6587\u8108"
    "|\u30c6\u30ad\u30b9\u30c8|\u6587\u7ae0)"
)
UNSPACED: Mapping[str, Unspaced] = {
    "zh": Unspaced(
        refuses=f"(?:^|,|\u6211|\u95ee\u9898|\u554f\u984c|[\u8be5\u6b64\u8fd9]"
        f"|\u70b9){UNABLE}[^\\d,]{{0,12}}(?:\u56de\u7b54|\u4f5c\u7b54|\u7b54\u590d|\u5f97\u77e5"
        f"|\u5224\u65ad)"
        f"|{LOOKS}(?:\u91cc|\u88e1|\u4e2d|\u5185)[^\\d,]{{0,10}}(?:\u6ca1|\u6c92|\u672a|\u65e0|\u7121|\u7f3a)"
        f"|(?:\u6211|^){UNABLE}[^\\d,]{{0,12}}(?:\u786e\u5b9a|\u78ba\u5b9a|\u5224\u65ad|\u77e5\u9053|\u627e\u5230)"
        f"|(?:\u6839\u636e|\u4ece|\u5f9e|\u4f9d\u636e){LOOKS}?[^\\d]{{0,16}}{UNABLE}[^\\d,]{{0,12}}(?:\u786e\u5b9a"
        f"|\u78ba\u5b9a|\u5224\u65ad|\u77e5\u9053|\u5f97\u77e5|\u627e\u5230)"
        f"|{LOOKS}[^\\d,]{{0,8}}(?:\u6ca1|\u6c92|\u672a|\u53ea\u5b57\u672a"
        f"|\u627e\u4e0d\u5230)[^\\d,]{{0,8}}(?:\u63d0|\u8bf4|\u8aaa|\u8c08|\u7ed9\u51fa|\u5199|\u8f09|\u8f7d"
        f"|\u6d89\u53ca|\u4fe1\u606f|\u76f8\u5173|\u6570\u636e|\u7b54\u6848)"
        "|(?:\u6ca1\u6709|\u6c92\u6709|\u6ca1|\u65e0)(?:\u8db3\u591f|\u76f8\u5173|\u8fd9\u65b9\u9762|\u8be5"
        "|\u6709\u5173|\u4efb\u4f55)[^\\d,]{0,4}(?:\u4fe1\u606f|\u5185\u5bb9|\u6570\u636e|\u8d44\u6599)"
        "|(?:\u4fe1\u606f|\u8cc7\u6599|\u8d44\u6599|\u8cc7\u8a0a|\u6570\u636e)(?:\u4e0d\u8db3|\u4e0d\u591f)"
        "|(?:\u627e\u4e0d\u5230|\u6ca1\u6709)[^\\d,]{0,4}\u7b54\u6848|\u672a\u627e\u5230\u76f8\u5173"
        "|\u65e0\u4ece\u5f97\u77e5|\u53ea\u5b57\u672a\u63d0"
        "|\u6211\u4e0d(?:\u77e5\u9053|\u6e05\u695a|\u4e86\u89e3)|\u7b54\u6848(?:\u672a\u77e5|\u4e0d\u660e)"
        "|^(?:\u6ca1\u6709|\u6c92\u6709|\u672a)(?:\u63d0\u53ca|\u63d0\u5230|\u8bf4\u660e|\u8aaa\u660e)$",
        thing=f"(?:\u6ca1\u6709|\u6c92\u6709|\u672a)[^\\d,]{{0,8}}(?:\u63d0\u53ca|\u63d0\u5230|\u8bf4\u660e"
        f"|\u8aaa\u660e|\u7ed9\u51fa|\u4fe1\u606f)|\u5c1a\u4e0d\u6e05\u695a|\u672a\u77e5"
        f"|{UNABLE}[^\\d,]{{0,12}}(?:\u786e\u5b9a|\u78ba\u5b9a|\u5224\u65ad|\u627e\u5230)",
        whole="\u4e0d\u77e5\u9053|\u4e0d\u6e05\u695a|\u5c1a\u4e0d\u6e05\u695a|\u672a\u77e5|\u4e0d\u660e|\u4e0d\u8be6"
        "|\u65e0|\u65e0\u7b54\u6848|\u6ca1\u6709\u7b54\u6848",
        lead="(?:\u8fd9\u662f\u4e2a?|\u771f\u662f)?(?:\u5f88)?\u597d(?:\u7684)?\u95ee\u9898|\u8c22\u8c22.{0,8}"
        "|\u611f\u8c22.{0,8}|\u62b1\u6b49|\u60a8\u597d|\u4f60\u597d|\u5bf9\u4e0d\u8d77|\u5f88\u9057\u61be",
    ),
    "ja": Unspaced(
        refuses="(?:\u56de\u7b54|\u7b54\u3048)[^\\d\u3001]{0,6}(?:\u3067\u304d|\u3089\u308c)(?:\u307e\u305b\u3093"
        "|\u306a\u3044)"
        f"|{PAPERS}[^\\d]{{0,12}}(?:\u5224\u65ad|\u78ba\u8a8d|\u7279\u5b9a)\u3067\u304d(?:\u307e\u305b\u3093"
        f"|\u306a\u3044)"
        f"|{PAPERS}(?:\u5185|\u4e2d)?(?:\u304b\u3089|\u306b|\u3067)\u306f?[^\\d\u3001]{{0,20}}(?:\u307e\u305b\u3093"
        f"|\u3044\u306a\u3044$)"
        f"|{PAPERS}[^\\d\u3001]{{0,12}}(?:\u542b\u307e\u308c|\u793a\u3055\u308c|\u6271\u308f\u308c|\u89e6\u308c"
        f"|\u8ff0\u3079\u3089\u308c)[^\\d\u3001]{{0,4}}(?:\u3044\u307e\u305b\u3093|\u3044\u306a\u3044)"
        "|(?:\u8a18\u8f09|\u8a18\u8ff0|\u8a00\u53ca|\u66f8\u304b\u308c|\u8ff0\u3079\u3089\u308c"
        "|\u660e\u8a18)[^\\d\u3001]{0,6}(?:\u3042\u308a\u307e\u305b\u3093|\u3044\u307e\u305b\u3093|\u306a\u3044"
        "|\u306a\u3057)"
        "|(?:^|\u306e|\u308b|\u305f|\u3001)(?:\u60c5\u5831"
        "|\u30c7\u30fc\u30bf)[^\\d\u3001]{0,6}(?:\u3042\u308a\u307e\u305b\u3093|\u4e0d\u8db3|\u8db3\u308a\u307e"
        "|\u8db3\u308a\u306a|\u898b\u3064\u304b\u308a\u307e\u305b\u3093)"
        "|(?:\u308f\u304b|\u5206\u304b)(?:\u308a\u307e\u305b\u3093|\u3089\u306a\u3044)$"
        "|\u7b54\u3048[^\\d\u3001]{0,6}(?:\u4e0d\u660e|\u898b\u3064\u304b\u308a\u307e\u305b\u3093"
        "|\u77e5\u308a\u307e\u305b\u3093)",
        thing="\u4e0d\u660e|(?:\u5224\u65ad|\u78ba\u8a8d|\u7279\u5b9a)\u3067\u304d(?:\u307e\u305b\u3093"
        "|\u306a\u3044)|\u898b\u3064\u304b\u308a\u307e\u305b\u3093"
        "|\u542b\u307e\u308c\u3066\u3044\u307e\u305b\u3093",
        whole="\u4e0d\u660e(?:\u3067\u3059)?|(?:\u78ba\u8a8d|\u5224\u65ad"
        "|\u7279\u5b9a)\u3067\u304d\u307e\u305b\u3093|\u306f\u3063\u304d\u308a\u3057\u307e\u305b\u3093"
        "|(?:\u8a18\u8f09|\u56de\u7b54|\u60c5\u5831|\u8a72\u5f53)\u306a\u3057|\u77e5\u308a\u307e\u305b\u3093",
        lead="(?:\u3068\u3066\u3082)?(?:\u3044\u3044|\u826f\u3044|\u3088\u3044)(?:\u3054)?\u8cea\u554f.{0,6}"
        "|\u3042\u308a\u304c\u3068\u3046.{0,6}|\u7533\u3057\u8a33\u3042\u308a\u307e\u305b\u3093"
        "|\u7533\u3057\u8a33\u3054\u3056\u3044\u307e\u305b\u3093|\u3059\u307f\u307e\u305b\u3093"
        "|\u6b8b\u5ff5\u306a\u304c\u3089",
    ),
}
"""Chinese and Japanese: cannot answer, the sources do not mention it, too little information, does not know."""
EVERY: Mapping[str, Words | Unspaced] = {**LANGUAGES, **UNSPACED}
PHRASES: Mapping[str, str] = {
    name: f"{one.refuses}|^(?:{one.whole})$|{one.thing}|{one.lead}" for name, one in EVERY.items()
}
CONCESSION = re.compile(r"^(?:although|though|while|whereas|obwohl|auch wenn|bien que|aunque|sebbene|embora|hoewel)\b")
CONTRAST = re.compile(
    r"[,;] ?(?:\w+ ){0,6}(?:but|yet|only|however|aber|jedoch|sondern|mais|seulement|pero|sino|ma|solo|mas|maar)\b"
    "|[,;] ?(?:\u4f46|\u3057\u304b\u3057)"
)
THANKS = "for|f\u00fcr|pour|por|per|pela|voor"


@dataclass(frozen=True)
class _Reading:
    """What the words of a contract look for."""

    refuses: re.Pattern[str]
    says: re.Pattern[str]
    """Those, and that a thing is not stated or known."""
    lead: re.Pattern[str]


def says_that_it_refuses(text: str, languages: Sequence[str], phrases: Sequence[str]) -> bool:
    """Whether some sentence of the text refuses, or says that a thing is not stated: what a refusal has to say."""
    says = _reading(tuple(languages), tuple(phrases)).says
    return any(says.search(one) for one, _ in _sentences([_read(text)]))


def only_refuses(text: str, languages: Sequence[str], phrases: Sequence[str]) -> bool:
    """Whether the first sentence, or most of them, refuse: what no answer may do.

    "It is 5. The sources do not say why." answers, and so does "Although the sources do not say why, it is 5."
    Courtesies ("Great question!") and questions state nothing and are not counted.
    """
    reading = _reading(tuple(languages), tuple(phrases))
    refusing = []
    for one, asks in _sentences(_lines(text, reading.refuses)):
        refuses = not asks and _refuses(one, reading.refuses) and not _answers_too(one)
        if refuses or not (asks or reading.lead.fullmatch(one)):
            refusing.append(refuses)
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


def _sentences(read: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Each sentence of what was read, without what marks lists and emphasis around it, and whether it asks."""
    for text in read:
        for found in SENTENCE.finditer(text):
            if one := found[0].strip(" \"'()[]-*#>"):
                yield one, text.startswith("?", found.end())


def _read(text: str) -> str:
    """As sentences are looked for in it, and phrases: in one spelling, on one line."""
    return folded(plain(text))


def _answers_too(sentence: str) -> bool:
    """Whether a sentence that refuses goes on to answer: after "although", or with a number after "but"."""
    if CONCESSION.match(sentence):
        return True
    contrast = CONTRAST.search(sentence)
    return contrast is not None and any(one.isdecimal() for one in sentence[contrast.end() :])


def _refuses(sentence: str, pattern: re.Pattern[str]) -> bool:
    return pattern.search(sentence) is not None


@lru_cache(maxsize=64)
def _reading(languages: tuple[str, ...], phrases: tuple[str, ...]) -> _Reading:
    known = [EVERY[language] for language in languages]
    own = [re.escape(_read(phrase)) for phrase in phrases]
    whole = "|".join([r"n/?a", *(one.whole for one in known)])
    refuses = [f"^(?:{whole})$", *(one.refuses for one in known), *own]
    lead = "|".join(one.lead for one in known) or "(?!)"
    return _Reading(
        refuses=re.compile("|".join(refuses)),
        says=re.compile("|".join([*refuses, *(one.thing for one in known)])),
        lead=re.compile(rf"(?:{lead})(?:,? (?:{THANKS}) [^\d,]*)?"),
    )

"""Texts → token ids, where two texts begin alike: what they share is read once.

A tokenizer cuts a text at its added tokens before anything else and reads each part by itself, so that what stands
before such a token is read the same whatever follows.
"""

import os
import re
from typing import TYPE_CHECKING

from release.values.errors import PreflightError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = tuple[int, ...]
SHORT = 200
"""Characters of the end of a prompt, which is the same in most rows and read once for all of them."""


def panicked(error: BaseException) -> bool:
    """Whether tokenizers' own code gave up; what it raises then is no ``Exception``, and has no name to import."""
    return type(error).__name__ == "PanicException"


class Reader:
    """A tokenizer, and where a text may be cut for it."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        # rows are shared out to processes: threads of its own would not outlive a fork
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self.tokenizer = tokenizer
        added = [one for one in tokenizer.get_added_tokens_decoder().values() if not one.normalized and one.content]
        written = sorted((one.content for one in added), key=len, reverse=True)
        self.added = re.compile("|".join(map(re.escape, written))) if written else None
        # one that takes the space before it, or stands only between words, does not end what is before it
        self.cuts = {one.content for one in added if not one.lstrip and not one.single_word}
        self.known: dict[str, Ids] = {}

    def ids(self, text: str) -> Ids:
        """The token ids of a text; ``PreflightError`` where a pattern of the tokenizer goes back without an end."""
        try:
            # as encode, without where each token stands in the text, at four fifths of it
            return tuple(self.tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids)
        except BaseException as error:
            if not panicked(error):
                raise
            why = f"The base's tokenizer gives up on a text of {len(text):,} characters: {str(error)[:200]!r}"
        raise PreflightError(f"{why}. It cannot be asked as it is: use another base, or cut long lines of the rows.")

    def both(self, before: str, whole: str) -> tuple[Ids, Ids]:
        """The token ids of a text and of one that begins with it, or of any two."""
        at = self._cut(before, whole) if whole.startswith(before) else 0
        head = self.ids(whole[:at]) if at else ()
        return head + self._end(before[at:]), head + self.ids(whole[at:])

    def _cut(self, before: str, whole: str) -> int:
        """Where the last added token of the text begins that is one in both; 0 where there is none."""
        at = 0
        if self.added is None or self.tokenizer.encode_special_tokens:
            return at
        for found in self.added.finditer(whole):
            if found.end() > len(before):
                break
            if found[0] in self.cuts:
                at = found.start()
        return at

    def _end(self, text: str) -> Ids:
        if len(text) > SHORT:
            return self.ids(text)
        if text not in self.known:
            if len(self.known) == 100:
                self.known.clear()
            self.known[text] = self.ids(text)
        return self.known[text]

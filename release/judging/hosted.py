"""A model that somebody serves, judged by its answers alone: no base and no earlier release stands beside it."""

from release.judging import derive
from release.judging.attempts import Entry
from release.judging.derive import Alone, Beside
from release.judging.terms import Terms
from release.values.attestation import Hosted
from release.values.layout import TRAINED
from release.values.record import Previous

NOTHING = Beside(comparisons={}, earlier=Previous(releases=[], weaker=[], comparisons={}))


def entries(asked: Terms, model: Hosted, answers: str, alone: Alone) -> list[Entry]:
    """The line of the ledger; what the address says of its model stands where an adapter's digest would."""
    return derive.entries(asked, model.sha256, {TRAINED: answers}, (alone, NOTHING, ()))


def lines(alone: Alone) -> list[str]:
    """Verdict and attempts for a terminal."""
    return derive.lines(alone, NOTHING, ())


def table(alone: Alone) -> str:
    """Verdict and attempts, as report and card have them."""
    return derive.markdown(alone, NOTHING, ())

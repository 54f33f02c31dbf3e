"""What attempts have cost: seconds and money by run and attempt, alerts on the way, and a stop before the limit.

An attempt rewrites its line before each step, the step counted, so that what a killed attempt took is counted too, and
attempts at work side by side leave each other's next step out of what is left.
"""

import contextlib
import fcntl
import json
import math
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from release.config.settings import Budget
from release.running import price_list
from release.running.price_list import Hour
from release.values.artifacts import write_atomically
from release.values.errors import PreflightError
from release.values.record import Hardware

NAME = "spent.jsonl"
_MOST = 1e12  # seconds, or money an hour: thirty thousand years


@dataclass(frozen=True, kw_only=True)
class Entry:
    run: str
    attempt: str
    """One for each start of a run, such as the time it started."""
    seconds: float
    price_per_hour: float
    currency: str

    @property
    def cost(self) -> float:
        return self.seconds / 3600 * self.price_per_hour


@dataclass(frozen=True, kw_only=True)
class Meter:
    """One attempt at work under a budget."""

    folder: Path
    budget: Budget
    run: str
    attempt: str
    price_per_hour: float
    before: float
    """What other attempts cost."""
    hours_before: float = 0.0
    """What other attempts took."""

    def cost(self, seconds: float) -> float:
        """Of everything, after so many seconds of this attempt."""
        return self.before + seconds / 3600 * self.price_per_hour

    def must_stop(self, seconds: float, next_step: float) -> bool:
        """Whether a step of ``next_step`` seconds would pass the limit of money or of hours."""
        over = self.budget.limit is not None and self.cost(seconds + next_step) > self.budget.limit
        return over or (self.budget.hours is not None and self.hours(seconds + next_step) > self.budget.hours)

    def hours(self, seconds: float) -> float:
        """Of everything, after so many seconds of this attempt."""
        return self.hours_before + seconds / 3600

    def alerts(self, earlier: float, seconds: float) -> list[str]:
        """A line for each percentage of the limit, and for each sum, that was passed since ``earlier``."""
        return self.passed_since(self.cost(earlier), seconds)

    def passed_since(self, cost: float, seconds: float) -> list[str]:
        """The same since everything cost so much."""
        return list(_alerts(self.budget, cost, self.cost(seconds)))

    def before_a_step(self, seconds: float, next_step: float) -> "Meter":
        """The same with what others took by now; its next step is put down as taken, unless it must stop."""
        with _alone(self.folder):
            others = self._others()
            now = replace(self, before=sum(one.cost for one in others), hours_before=_hours(others))
            if not now.must_stop(seconds, next_step):
                self._put_down(others, seconds + next_step)
            return now

    def write(self, seconds: float) -> None:
        """Put down what this attempt took so far, in place of what it put down before."""
        with _alone(self.folder):
            self._put_down(self._others(), seconds)

    def _others(self) -> list[Entry]:
        return [one for one in read(self.folder) if (one.run, one.attempt) != (self.run, self.attempt)]

    def _put_down(self, others: Sequence[Entry], seconds: float) -> None:
        entry = Entry(
            run=self.run,
            attempt=self.attempt,
            seconds=round(seconds, 1),
            price_per_hour=self.price_per_hour,
            currency=self.budget.currency,
        )
        write_atomically(self.folder / NAME, written([*others, entry]))

    def stopped(self, seconds: float) -> PreflightError:
        """Why the run ends here."""
        currency, limit = self.budget.currency, self.budget.limit
        if limit is not None and self.cost(seconds) / limit >= self.hours(seconds) / (self.budget.hours or math.inf):
            spent, name = f"{self.cost(seconds):.2f} of {limit:.2f} {currency}", "limit"
        else:
            spent, name = f"{self.hours(seconds):.3g} of {self.budget.hours:g} hours of training", "hours"
        return PreflightError(
            f"The budget is spent: {spent} over all attempts, and the next "
            f"step would exceed it. A checkpoint is kept. Raise budget.{name} and run again: it continues there."
        )


def counts_money(budget: Budget) -> bool:
    """Whether it needs a price: it has a limit of money, or tells when a sum is passed."""
    return budget.limit is not None or bool(_sums(budget))


def is_limited(budget: Budget) -> bool:
    """Whether anything is counted."""
    return counts_money(budget) or budget.hours is not None


def attempt() -> str:
    """A name for an attempt that begins now; not the time alone, for a clock that was set back would repeat it."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {secrets.token_hex(4)}"


def read(folder: Path) -> list[Entry]:
    """Every attempt under an output folder; ``PreflightError`` where a line cannot be read, for it may hide a cost."""
    path = folder / NAME
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entry = Entry(**json.loads(line))
            sound = _is_sound(entry)
        except (TypeError, ValueError, RecursionError) as error:
            raise PreflightError(
                f"{path}:{number} cannot be read: {error}. Correct that line, or move the file."
            ) from None
        if not sound:
            raise PreflightError(
                f"{path}:{number} holds a negative or missing number, or one that nobody spends. Correct that line, or "
                "move the file."
            )
        entries.append(entry)
    return entries


def _is_sound(entry: Entry) -> bool:
    names, numbers = (entry.run, entry.attempt, entry.currency), (entry.seconds, entry.price_per_hour)
    return all(isinstance(one, str) for one in names) and all(0 <= one <= _MOST for one in numbers)


def written(entries: Iterable[Entry]) -> bytes:
    """The file's bytes, a line for each entry."""
    return "".join(json.dumps(asdict(one), sort_keys=True) + "\n" for one in entries).encode()


def start(folder: Path, budget: Budget, run: str, attempt: str, hour: Hour) -> Meter:
    """A meter for a new attempt. ``PreflightError`` if the budget is spent, or cannot be kept."""
    entries = read(folder)
    other = sorted({one.currency for one in entries} - {budget.currency})
    if other and budget.limit is not None:
        raise PreflightError(
            f"{folder / NAME} counts {', '.join(other)}, budget.currency is {budget.currency}. Use one."
        )
    if hour.price is None and budget.limit is not None:
        limit = f"budget.limit is {budget.limit:g} {budget.currency}"
        raise PreflightError(f"{limit}, but nobody named what an hour of this machine costs: {hour.says}")
    if hour.price is None and (sums := _sums(budget)):
        raise PreflightError(
            f"budget.alerts names {', '.join(sums)}, which would never be told, for nobody named what an hour of this "
            f"machine costs: {hour.says}"
        )
    spent = sum(one.cost for one in entries)
    if budget.limit is not None and spent >= budget.limit:
        raise PreflightError(
            f"The budget is spent: {spent:.2f} of {budget.limit:.2f} {budget.currency}, see {folder / NAME}. "
            "Raise budget.limit to go on."
        )
    hours = _hours(entries)
    if budget.hours is not None and hours >= budget.hours:
        raise PreflightError(
            f"The budget is spent: {hours:.3g} of {budget.hours:g} hours of training, see {folder / NAME}. Raise "
            "budget.hours to go on."
        )
    return Meter(
        folder=folder,
        budget=budget,
        run=run,
        attempt=attempt,
        price_per_hour=hour.price or 0.0,
        before=spent,
        hours_before=hours,
    )


def _hours(entries: Iterable[Entry]) -> float:
    return sum(one.seconds for one in entries) / 3600


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A block in which no other attempt changes what is put down: the folder itself is locked, a file more is none."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _alerts(budget: Budget, earlier: float, now: float) -> Iterator[str]:
    of_limit = "" if budget.limit is None else f" of {budget.limit:.2f}"
    for mark, says in _marks(budget):
        if earlier < mark <= now:
            yield f"budget: {now:.2f}{of_limit} {budget.currency} spent, past {says}"


def _sums(budget: Budget) -> list[str]:
    """The alerts that are sums of money, as the settings say them."""
    return [alert for alert in budget.alerts if isinstance(alert, str)]


def _marks(budget: Budget) -> list[tuple[float, str]]:
    """The sums at which an alert is told, the smallest first, each as its setting says it."""
    sums = [(float(alert.split()[0]), alert) for alert in _sums(budget)]
    shares = [alert for alert in budget.alerts if not isinstance(alert, str)]
    if budget.limit is not None:
        sums += [(budget.limit * percent / 100, f"{percent:g} %") for percent in shares]
    return sorted(sums)


def estimate(
    seconds: float, hardware: Hardware, prices: Mapping[str, Any], budget: Budget, *, worked: float | None = None
) -> dict[str, Any]:
    """Energy and cost of so many seconds on this hardware, each with how it was come by; None where it is unknown.

    ``worked`` are the seconds of all processes together, each with a card or threads of its own; without it one worked.
    Energy is an upper bound: the rated power of the GPU or of the threads, all of the time.
    """
    gpu, hours = hardware.gpu, (seconds if worked is None else worked) / 3600
    card = price_list.card_of(gpu.name, prices) if gpu else {}
    watts = card.get("watts") if gpu else prices.get("cpu_watts_per_thread", 0) * hardware.threads
    rated = f"{watts} W rated power of {gpu.name if gpu else f'{hardware.threads} threads'}, all of the time"
    listed = card.get("price_per_hour"), prices["currency"], price_list.list_price(card)
    own = budget.price_per_hour, budget.currency, "budget.price_per_hour"
    price, currency, source = listed if budget.price_per_hour is None else own
    paid = hours if budget.price_per_hour is None else seconds / 3600  # one's own price is of the whole machine
    return {
        "energy_kwh": round(watts * hours / 1000, 6) if watts else None,
        "energy_how": f"at most: {rated}" if watts else "not known: prices.json names no power of this card",
        "cost": None if price is None else {"amount": round(price * paid, 4), "currency": currency},
        "cost_how": "not known: nobody named a price" if price is None else f"{price:g} an hour, {source}",
    }

"""What is spent is counted over attempts, told on the way, and never passes the limit."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.config.settings import Budget
from release.running import price_list, spending
from release.running.price_list import Hour
from release.values.errors import PreflightError
from release.values.record import Gpu, Hardware

HOUR = 3600.0
NO_PRICE = Hour(price=None, says="no card. Set budget.price_per_hour.")


def at(price: float) -> Hour:
    """An hour that costs so much."""
    return Hour(price=price, says="")


def test_attempts_add_up_and_one_attempt_counts_once(tmp_path: Path) -> None:
    budget = Budget(limit=10)
    first = spending.start(tmp_path, budget, "run", "1", at(2.0))
    first.write(HOUR / 2)
    first.write(HOUR)
    second = spending.start(tmp_path, budget, "run", "2", at(2.0))

    assert second.before == 2.0
    assert second.cost(HOUR) == 4.0
    assert len(spending.read(tmp_path)) == 1


def test_attempts_side_by_side_leave_each_other_the_step_that_they_make(tmp_path: Path) -> None:
    budget, step = Budget(limit=10), HOUR / 2
    several = [spending.start(tmp_path, budget, f"run {number}", "1", at(1.0)) for number in range(3)]

    steps, at_work = [0, 0, 0], {0, 1, 2}
    while at_work:
        for number in sorted(at_work):
            now = several[number].before_a_step(steps[number] * step, step)
            if now.must_stop(steps[number] * step, step):
                several[number].write(steps[number] * step)
                at_work.remove(number)
            else:
                steps[number] += 1

    assert sum(one.cost for one in spending.read(tmp_path)) == 10
    assert sorted(steps) == [6, 7, 7]


def test_no_line_is_lost_where_attempts_write_at_the_same_time(tmp_path: Path) -> None:
    several = [spending.start(tmp_path, Budget(limit=10), f"run {number}", "1", at(1.0)) for number in range(4)]

    def work(meter: spending.Meter) -> None:
        for second in range(25):
            meter.before_a_step(second, 1)

    with ThreadPoolExecutor(len(several)) as pool:
        list(pool.map(work, several))

    assert {one.run: one.seconds for one in spending.read(tmp_path)} == {f"run {number}": 25 for number in range(4)}


def test_an_attempt_after_the_clock_was_set_back_is_counted_beside_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.gmtime(0)
    monkeypatch.setattr(time, "gmtime", lambda: now)
    for _ in range(2):
        spending.start(tmp_path, Budget(limit=10), "run", spending.attempt(), at(2.0)).write(HOUR)

    assert sum(one.cost for one in spending.read(tmp_path)) == 4.0


def test_an_alert_is_told_once_for_each_percentage() -> None:
    meter = spending.Meter(folder=Path(), budget=Budget(limit=10), run="r", attempt="1", price_per_hour=1.0, before=1.0)

    assert meter.alerts(0, HOUR / 2) == []
    assert meter.alerts(HOUR / 2, HOUR) == ["budget: 2.00 of 10.00 USD spent, past 20 %"]
    assert len(meter.alerts(HOUR, 9 * HOUR)) == 2


def test_a_sum_of_money_is_told_beside_the_percentages_in_the_order_of_both() -> None:
    budget = Budget(limit=10, alerts=(50, "2.50 USD", 100))
    meter = spending.Meter(folder=Path(), budget=budget, run="r", attempt="1", price_per_hour=1.0, before=0.0)

    assert meter.alerts(0, 2.4 * HOUR) == []
    assert meter.alerts(2.4 * HOUR, 6 * HOUR) == [
        "budget: 6.00 of 10.00 USD spent, past 2.50 USD",
        "budget: 6.00 of 10.00 USD spent, past 50 %",
    ]


def test_a_sum_is_told_without_a_limit_and_never_without_a_price(tmp_path: Path) -> None:
    budget = Budget(alerts=(50, "3 USD"))

    assert spending.start(tmp_path, budget, "run", "1", at(1.0)).alerts(2 * HOUR, 3 * HOUR) == [
        "budget: 3.00 USD spent, past 3 USD"
    ]
    with pytest.raises(PreflightError, match=r"would never be told.*Set budget\.price_per_hour"):
        spending.start(tmp_path, budget, "run", "1", NO_PRICE)


@given(st.floats(0.01, 1e4), st.floats(0.01, 100), st.floats(0.01, 1e4), st.floats(0, 1e4))
def test_a_run_that_stops_when_told_never_passes_the_limit(
    limit: float, price: float, step: float, before: float
) -> None:
    meter = spending.Meter(
        folder=Path(), budget=Budget(limit=limit), run="r", attempt="1", price_per_hour=price, before=min(before, limit)
    )
    seconds, steps = 0.0, 0
    while steps < 1000 and not meter.must_stop(seconds, step):
        seconds, steps = seconds + step, steps + 1

    assert meter.cost(seconds) <= limit


def test_without_a_limit_nothing_stops_and_nothing_needs_a_price(tmp_path: Path) -> None:
    meter = spending.start(tmp_path, Budget(), "run", "1", NO_PRICE)

    assert not meter.must_stop(1e9, 1e9)
    assert meter.alerts(0, 1e9) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{}", "cannot be read"),
        ("not json", "cannot be read"),
        ('{"run":"r","attempt":"1","seconds":-5,"price_per_hour":1,"currency":"USD"}', "negative"),
        ('{"run":"r","attempt":"1","seconds":NaN,"price_per_hour":1,"currency":"USD"}', "negative or missing"),
        ('{"run":"r","attempt":"1","seconds":"5","price_per_hour":1,"currency":"USD"}', "cannot be read"),
        ('{"run":"r","attempt":"1","seconds":36000,"price_per_hour":1,"currency":"USD"}', "is spent: 10.00 of 5.00"),
        ('{"run":"r","attempt":"1","seconds":5,"price_per_hour":1,"currency":"EUR"}', "counts EUR"),
    ],
)
def test_a_ledger_that_hides_or_passes_the_limit_stops_the_run(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / spending.NAME).write_text(line + "\n", "utf-8")

    with pytest.raises(PreflightError, match=said):
        spending.start(tmp_path, Budget(limit=5), "run", "2", at(1.0))


def test_a_limit_without_a_price_cannot_be_kept(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match=r"Set budget\.price_per_hour"):
        spending.start(tmp_path, Budget(limit=5), "run", "1", NO_PRICE)
    assert spending.start(tmp_path, Budget(limit=5), "run", "1", at(0.0)).cost(HOUR) == 0


def test_hours_that_are_spent_are_told_as_small_as_they_are(tmp_path: Path) -> None:
    meter = spending.start(tmp_path, Budget(hours=0.0004), "run", "1", NO_PRICE)

    assert "0.000389 of 0.0004 hours of training" in str(meter.stopped(1.4))
    meter.write(2)
    with pytest.raises(PreflightError, match=r"0\.000556 of 0\.0004 hours of training"):
        spending.start(tmp_path, Budget(hours=0.0004), "run", "2", NO_PRICE)


CPU = Hardware(machine="x86_64", cpu="a CPU", cpu_capability="AVX2", threads=2, gpu=None)


def on_a(name: str) -> Hardware:
    return replace(CPU, threads=8, gpu=Gpu(name=name, compute_capability="9.0", cuda="13.0", driver=""))


def test_energy_and_cost_say_how_they_were_come_by() -> None:
    card = spending.estimate(HOUR, on_a("NVIDIA H200"), price_list.read(), Budget())
    own = spending.estimate(HOUR / 2, CPU, price_list.read(), Budget(price_per_hour=0.1, currency="EUR"))

    assert (card["energy_kwh"], card["cost"]) == (0.7, {"amount": 4.0, "currency": "USD"})
    assert "700 W rated power of NVIDIA H200" in card["energy_how"]
    assert "H200 141GB in prices.json" in card["cost_how"]
    assert (own["energy_kwh"], own["cost"]) == (0.004, {"amount": 0.05, "currency": "EUR"})
    assert own["cost_how"] == "0.1 an hour, budget.price_per_hour"


def test_each_process_has_a_card_that_costs_and_ones_own_price_is_of_all_of_them() -> None:
    prices = price_list.read()
    cards = spending.estimate(HOUR, on_a("NVIDIA H200"), prices, Budget(), worked=3 * HOUR)
    own = spending.estimate(HOUR, on_a("NVIDIA H200"), prices, Budget(price_per_hour=9), worked=3 * HOUR)

    assert (cards["energy_kwh"], cards["cost"]["amount"]) == (2.1, 12.0)
    assert (own["energy_kwh"], own["cost"]["amount"]) == (2.1, 9.0)


def test_what_nobody_knows_is_not_guessed() -> None:
    found = spending.estimate(HOUR, on_a("Tesla V100"), price_list.read(), Budget())

    assert (found["energy_kwh"], found["cost"]) == (None, None)
    assert found["energy_how"].startswith("not known")
    assert found["cost_how"].startswith("not known")

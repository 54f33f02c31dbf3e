"""People's word: which rows are drawn, what counts of a review, and what follows from it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import gates
from gates import human_review
from gates.human_review import Bound, Opinion, Review, Reviewer, Row, Settled, Trust
from gates.policy import HumanReview
from gates.report import EXCERPT, cell
from tests.gates.examples import contract

SEED = "5" * 64
BOUND = Bound(seed=SEED, answers_sha256="a" * 64, beside="base", beside_sha256="b" * 64)
ROWS = tuple(f"row-{number:02}" for number in range(20))
FORM: dict[str, object] = {"json_parse": {"mode": "point", "target": 0.5, "min_n": 1}}


def asked(**changes: object) -> HumanReview:
    entry = {"rows": 20, "target": 0.9, "floor": 0.7, **changes}
    found = gates.load_policy({**FORM, "human_review": entry}).review
    assert found is not None
    return found


def person(name: str = "Ada", wrong: tuple[str, ...] = (), says: str = "wrong") -> Reviewer:
    rows = (
        Row(id=row, this=Opinion(says=says if row in wrong else "right"), other=Opinion(says="wrong")) for row in ROWS
    )
    return Reviewer(name=name, rows=tuple(rows), through=True)


def whole(*people: Reviewer, settled: tuple[Settled, ...] = ()) -> Review:
    return Review(bound=BOUND, rows=ROWS, reviewers=people or (person(),), settled=settled)


def verdict(wrong: tuple[str, ...] = ()) -> gates.Verdict:
    golden = [gates.Golden(id=row, prompt=({"role": "user", "content": row},)) for row in ROWS]
    outputs = [gates.Output(id=row, output="no JSON" if row in wrong else "{}") for row in ROWS]
    return gates.judge(golden, outputs, contract(), gates.load_policy(FORM))


def judged(review: Review, wrong: tuple[str, ...] = (), **changes: object) -> human_review.Reviewed:
    return human_review.judged(review, asked(**changes), 1, verdict(wrong))


@pytest.mark.parametrize(
    ("wrong", "state"), [(0, "PASS"), (2, "PASS"), (3, "FAIL"), (20, "FAIL")], ids=["all", "just", "one less", "none"]
)
def test_the_gate_is_exact(wrong: int, state: str) -> None:
    found = judged(whole(person(wrong=ROWS[:wrong])))

    assert (found.gate.state, found.gate.units.k, found.gate.needs) == (state, 20 - wrong, 18)
    assert found.passed is (state == "PASS")


def test_cannot_tell_is_never_a_pass() -> None:
    found = judged(whole(person(wrong=ROWS[:3], says="cannot tell")))

    assert found.gate.state == "FAIL"
    assert [miss.reason for miss in found.gate.score.misses] == ["cannot tell"] * 3


def test_a_later_attempt_must_meet_a_surer_bound_on_more_rows() -> None:
    first, second = (asked(floor=0.8).at(attempt, 3) for attempt in (1, 2))

    assert (first.minimum, second.minimum) == (20, 22)
    assert second.confidence > first.confidence
    assert asked(floor=0.8).at(2, 2) == asked(floor=0.8).bar  # attempts count since version 3


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda one: replace(one, bound=replace(BOUND, answers_sha256="c" * 64)), "it is a review of other answers"),
        (lambda one: replace(one, bound=replace(BOUND, seed="c" * 64)), "another adapter, policy"),
        (lambda one: replace(one, bound=replace(BOUND, beside="v1")), "another adapter, policy"),
        (lambda one: replace(one, rows=ROWS[::-1]), "its rows are not those that its seed draws"),
        (lambda one: replace(one, rows=ROWS[1:]), "its rows are not those that its seed draws"),
        (lambda one: replace(one, reviewers=()), "0 of 1 reviewers began"),
        (lambda one: replace(one, reviewers=(of(one, lambda rows: rows[1:]),)), "Ada answered 19 of 20 rows"),
        (lambda one: replace(one, reviewers=(of(one, lambda rows: (*rows, rows[0])),)), "of Ada stand twice: row-00"),
        (
            lambda one: replace(one, reviewers=(of(one, lambda rows: (*rows, replace(rows[0], id="x"))),)),
            "of Ada were not drawn: x",
        ),
        (
            lambda one: replace(one, reviewers=(of(one, lambda rows: (replace(rows[0], other=None), *rows[1:])),)),
            "Ada answered 19 of 20 rows",
        ),
        (lambda one: replace(one, reviewers=(replace(person(), through=False),)), "did not finish the review"),
        (lambda one: replace(one, reviewers=(person(), person())), "two reviewers have the same name"),
        (
            lambda one: replace(one, reviewers=(person(), person("Bo", wrong=ROWS[:1]))),
            "reviewers disagree, and nobody settled it: row-00",
        ),
        (lambda one: replace(one, settled=(Settled(id=ROWS[0], says="right"),)), "on which nobody disagreed: row-00"),
    ],
)
def test_what_is_not_a_whole_review_of_exactly_this_does_not_count(harm: Callable[[Review], Review], says: str) -> None:
    assert human_review.problems(whole(), BOUND, ROWS, asked()) == ()
    found = human_review.problems(harm(whole()), BOUND, ROWS, asked())

    assert says in "\n".join(found)


SETTLED = Settled(id=ROWS[0], says="right")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ({"bound": replace(BOUND, answers_sha256="c" * 64)}, ["it is a review of other answers than these"]),
        (
            {"bound": replace(BOUND, seed="c" * 64)},
            ["it was made with another adapter, policy, answer format, golden set or answers beside than these"],
        ),
        ({"rows": ROWS[1:]}, ["its rows are not those that its seed draws"]),
        ({"reviewers": (person(), person())}, ["two reviewers have the same name"]),
        (
            {"settled": (SETTLED, SETTLED)},
            [
                "rows that are settled stand twice: row-00",
                "rows are settled on which nobody disagreed: row-00",
            ],
        ),
        (
            {"settled": (replace(SETTLED, id="x"),)},
            ["rows that are settled were not drawn: x", "rows are settled on which nobody disagreed: x"],
        ),
        (
            {"reviewers": (replace(person(""), rows=person().rows[:7]),)},
            ["the reviewer without a name answered 7 of 20 rows: go on under that name"],
        ),
        (
            {"reviewers": (replace(person(), through=False),)},
            ["Ada answered every row, and did not finish the review"],
        ),
    ],
)
def test_what_is_said_of_a_review_that_does_not_count_is_whole(harm: dict[str, Any], says: list[str]) -> None:
    assert [*human_review.problems(replace(whole(), **harm), BOUND, ROWS, asked())] == says


def of(review: Review, change: Callable[[tuple[Row, ...]], tuple[Row, ...]]) -> Reviewer:
    return replace(review.reviewers[0], rows=change(review.reviewers[0].rows))


def test_who_disagrees_is_settled_by_a_person() -> None:
    two = (person("Ada"), person("Bo", wrong=ROWS[:3]))
    settled = tuple(Settled(id=row, says="wrong" if row == ROWS[0] else "right", by="Cy") for row in ROWS[:3])
    review = whole(*two, settled=settled)

    assert human_review.disagreed(review) == ROWS[:3]
    assert human_review.problems(review, BOUND, ROWS, asked(reviewers=2)) == ()
    assert [miss.id for miss in judged(review).gate.score.misses] == [ROWS[0]]
    assert "1 of 3 reviewers began" not in human_review.problems(review, BOUND, ROWS, asked(reviewers=3))
    assert "2 of 3 reviewers began" in human_review.problems(review, BOUND, ROWS, asked(reviewers=3))


def test_gates_and_people_are_compared_with_a_bound() -> None:
    found = judged(whole(person(wrong=(ROWS[0], ROWS[5]))), wrong=(ROWS[0], ROWS[1]))

    assert found.trust[0] == Trust(gates_say="right", n=18, otherwise=(ROWS[5],))
    assert found.trust[1] == Trust(gates_say="wrong", n=2, otherwise=(ROWS[1],))
    assert found.trust[0].at_most == pytest.approx(0.238, abs=0.001)  # one of 18, Clopper and Pearson
    assert Trust(gates_say="wrong", n=0, otherwise=()).at_most is None
    assert "people call 1 of 18 rows wrong that the gates call right: row-05; at most" in "\n".join(
        human_review.terminal(found)
    )


def test_rows_that_nobody_can_tell_say_nothing_of_the_gates() -> None:
    found = judged(whole(person(wrong=ROWS[:4], says="cannot tell")))

    assert found.trust[0].n == 16


def test_each_stratum_has_its_share_and_each_row_its_chance() -> None:
    strata = {f"row-{number}": "refused" if number < 25 else "answered" for number in range(100)}
    times = dict.fromkeys(strata, 0)
    for number in range(400):
        drawn = human_review.draw(f"{number:064}", strata, 20)
        assert len(set(drawn)) == 20
        assert sum(strata[row] == "refused" for row in drawn) == 5
        for row in drawn:
            times[row] += 1
    assert 40 < min(times.values()) < 80 < max(times.values()) < 120


def test_the_same_seed_draws_the_same_rows_for_ever() -> None:
    strata = dict.fromkeys(ROWS, "")

    assert human_review.draw(SEED, strata, 3) == human_review.draw(SEED, dict(reversed(strata.items())), 3)
    assert human_review.draw(SEED, strata, 3) == PINNED
    assert human_review.draw("6" * 64, strata, 3) == ("row-14", "row-02", "row-18")
    assert len(human_review.draw(SEED, strata, 30)) == 20


PINNED = ("row-13", "row-02", "row-04")


def test_the_same_seed_shows_the_same_order_for_ever() -> None:
    strata = {row: "b" if number % 3 == 0 else "a" for number, row in enumerate(ROWS)}

    drawn = human_review.draw(SEED, strata, 8)
    assert [row[-2:] for row in drawn] == ["13", "19", "03", "17", "12", "04", "08", "07"]
    second = [row[-2:] for row in ROWS if not human_review.this_first(SEED, row)]
    assert second == ["01", "08", "10", "11", "12", "19"]


def test_the_order_of_the_two_answers_says_nothing() -> None:
    first = [human_review.this_first(f"{number:064}", "row") for number in range(400)]

    assert 160 < sum(first) < 240


def test_a_file_is_what_was_said() -> None:
    noted = replace(person(), rows=(replace(person().rows[0], notes="as it is", other=None), *person().rows[1:]))
    review = whole(noted, person("Bo", wrong=ROWS[:1]), settled=(Settled(id=ROWS[0], says="wrong", by="Cy"),))

    assert human_review.parse(json.loads(review.to_json()), "a file") == review


@pytest.mark.parametrize(
    "harm",
    [
        lambda one: one.pop("bound"),
        lambda one: one.update(review=2),
        lambda one: one.update(more=1),
        lambda one: one["bound"].update(seed="5"),
        lambda one: one["rows"].append(one["rows"][0]),
        lambda one: one["reviewers"][0]["rows"][0]["this"].update(says="pass"),
        lambda one: one["reviewers"][0]["rows"][0]["this"].update(says=True),
        lambda one: one["reviewers"][0].update(name="a" * 101),
        lambda one: one["reviewers"][0].pop("through"),
    ],
)
def test_another_file_is_refused(harm: Callable[[Any], object]) -> None:
    value = json.loads(whole().to_json())
    harm(value)

    with pytest.raises(gates.InvalidData):
        human_review.parse(value, "a file")


def test_files_of_several_people_are_joined() -> None:
    found = human_review.joined([whole(person("Ada")), whole(person("Bo")), whole(person("Ada"))])
    assert found == human_review.joined([whole(person("Bo")), whole(person("Ada"))])

    assert [one.name for one in found.reviewers] == ["Ada", "Bo"]
    with pytest.raises(gates.InvalidData, match="different things for Ada"):
        human_review.joined([whole(person("Ada")), whole(person("Ada", wrong=ROWS[:1]))])
    with pytest.raises(gates.InvalidData, match="different answers"):
        human_review.joined([whole(), replace(whole(), rows=ROWS[1:])])


def told_of_two() -> tuple[Review, human_review.Reviewed]:
    """Of two people Bo calls three answers wrong, of which a third person settles one so."""
    said = Opinion(says="wrong", reason="wrong fact")
    rows = (replace(row, this=said, notes="see\nit") if row.id in ROWS[:3] else row for row in person().rows)
    other = (Row(id=ROWS[0], this=Opinion(says="right"), other=Opinion(says="right")), *person("Ada").rows[1:])
    settled = tuple(
        Settled(id=row, says="cannot tell" if row == ROWS[0] else "right", by="Cy", notes="blurred") for row in ROWS[:3]
    )
    people = (replace(person("Ada"), rows=other), replace(person("Bo"), rows=tuple(rows)))
    review = whole(*people, settled=settled)
    return review, judged(review, wrong=(ROWS[0], ROWS[1], ROWS[19]), reviewers=2)


SAID_OF_TWO = """\
PASS         human_review  19/20 = 95.0 % (≥ 78.4 % at 95 %), needs 18, target 90 %, floor 70 %
  2 people read 20 rows without knowing whose answer is whose
  of the answers beside them (base) the first reviewer calls 1 of 20 right
  a person settled 3 rows on which they disagreed: row-00, row-01, row-02
  people call 0 of 17 rows wrong that the gates call right; at most 16.2 % of such rows at 95 %
  people call 2 of 2 rows right that the gates call wrong: row-01, row-19; at most 100.0 % of such rows at 95 %"""
ROW_OF_TWO = """\
  row-00: cannot tell: blurred
      Ada: right
      Bo: wrong; wrong fact; see it"""
QUESTION_OF_TWO = """\
      question  Is it row-00?
      answer    yes"""
PAGE_OF_TWO = """\
Read by people, **PASS**: 19&#47;20 = 95&#46;0 % (≥ 78&#46;4 % at 95 %), needs 18, target 90 %, floor 70 %

{sentences}

| row | what people say |
|---|---|
| row&#45;00 | cannot tell&#58; blurred |
"""


def test_what_came_of_a_review_is_told_with_each_row_that_is_wrong() -> None:
    review, found = told_of_two()
    questions = [
        gates.Golden(
            id=row, prompt=({"role": "system", "content": "Be."}, {"role": "user", "content": f"Is it {row}?"})
        )
        for row in ROWS
    ]

    assert "\n".join(human_review.terminal(found)) == SAID_OF_TWO
    sentences = "\n".join(f"- {cell(one.strip())}" for one in SAID_OF_TWO.splitlines()[1:])
    assert human_review.markdown(found) == PAGE_OF_TWO.format(sentences=sentences)
    told = human_review.told(review, found, questions, {ROWS[0]: "yes"})
    assert "\n".join(told) == f"{SAID_OF_TWO}\n{ROW_OF_TWO}\n{QUESTION_OF_TWO}"
    long = human_review.told(review, found, [], {ROWS[0]: "x" * (EXCERPT + 1)})
    assert [one.rstrip() for one in long[-2:]] == ["      question", f"      answer    {'x' * (EXCERPT - 1)}…"]


def test_a_review_of_one_person_who_agrees_with_the_gates_is_told_without_rows() -> None:
    found = judged(whole())

    assert human_review.sentences(found) == [
        "1 person read 20 rows without knowing whose answer is whose",
        "of the answers beside them (base) the first reviewer calls 0 of 20 right",
        "people call 0 of 20 rows wrong that the gates call right; at most 13.9 % of such rows at 95 %",
        "of no row that they read do the gates say that it is wrong",
    ]
    assert "row |" not in human_review.markdown(found)
    assert "of no row that they read do the gates say that it is right" in human_review.sentences(
        judged(whole(), wrong=ROWS)
    )


def test_a_review_that_proves_nothing_says_why_on_its_line() -> None:
    few = replace(whole(replace(person(), rows=person().rows[:3])), rows=ROWS[:3])
    head, *_ = human_review.terminal(judged(few))

    assert head.startswith("INSUFFICIENT human_review  3/3 = 100.0 %")
    assert head.endswith(": 3 rows are counted, at least 20 are needed to prove this")


def test_what_people_type_is_no_markup() -> None:
    hostile = "<script>alert(1)</script>|\n# x \x1b[31m\u202e"
    rows = tuple(replace(row, this=Opinion(says="wrong", reason=hostile)) for row in person().rows)
    found = judged(replace(whole(), reviewers=(Reviewer(name=hostile, rows=rows),)))

    text = human_review.markdown(found) + "\n".join(human_review.terminal(found))
    assert not [part for part in ("<script>", "\x1b", "\u202e", "\n# x") if part in text]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, ()),
        ({"rows": 40}, ()),
        ({"rows": 15}, ("human_review: minimum 15, was 20",)),
        ({"target": 0.85}, ("human_review: target 0.85, was 0.9",)),
        ({"floor": 0.6}, ("human_review: floor 0.6, was 0.7",)),
        ({"confidence": 0.9}, ("human_review: confidence 0.9, was 0.95",)),
        ({"reviewers": 1}, ("human_review: reviewers 1, was 2",)),
        (None, ("human_review: gone, was required",)),
    ],
)
def test_who_asks_people_for_less_is_weaker(changes: dict[str, object] | None, says: tuple[str, ...]) -> None:
    entry = {"rows": 20, "target": 0.9, "floor": 0.7, "reviewers": 2}
    then = gates.load_policy({**FORM, "human_review": entry})
    now = gates.load_policy({**FORM, **({} if changes is None else {"human_review": {**entry, **changes}})})

    assert gates.weaker(now, then) == says
    assert gates.weaker(then, gates.load_policy(FORM)) == ()


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({}, "'target' is a required property"),
        ({"target": 0.9, "rows": 10}, "rows: all of 10 would not prove the floor 0.8; 14 would"),
        ({"target": 0.9, "floor": 0.95}, "floor: 0.95 is above the target 0.9"),
        ({"target": 0.9, "required": False}, "required: unknown key"),
        ({"target": 0.9, "reviewers": 0}, "0 is less than the minimum of 1"),
        ({"target": 90}, "a share, not a percentage"),
    ],
)
def test_a_gate_that_people_cannot_meet_is_refused(entry: dict[str, object], says: str) -> None:
    with pytest.raises(gates.InvalidConfig, match=says):
        gates.load_policy({**FORM, "human_review": entry})


def test_a_policy_is_written_out_and_read_again() -> None:
    policy = gates.load_policy({**FORM, "human_review": {"target": 0.9}})

    assert gates.load_policy(policy.as_dict()) == policy
    assert policy.digest != gates.load_policy(FORM).digest


def test_people_alone_are_asked_beside_the_default_gates() -> None:
    entry = {"human_review": {"target": 0.9}}
    declares = contract().declares

    assert gates.completed(entry, declares) == {**gates.default_policy(declares), **entry}
    assert gates.completed({**FORM, **entry}, declares) == {**FORM, **entry}
    with pytest.raises(gates.InvalidConfig, match="no gate is required"):
        gates.load_policy(entry)

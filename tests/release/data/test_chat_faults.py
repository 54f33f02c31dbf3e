"""Each kind of fault of a chat template is told once, with the first row that has it."""

from release.data import chat_faults
from release.data.chat import Measured


def measured(fault: str = "") -> Measured:
    return Measured(asked=1, learned=1, fault=fault)


def test_faults_that_differ_in_what_they_quote_are_one_kind() -> None:
    examples = [
        ("a", measured()),
        ("b", measured("The template drops 'one' at 7.")),
        ("c", measured("The template drops 'two' at 12.")),
        ("d", measured("The template never ends.")),
    ]

    assert list(chat_faults.faults(examples)) == [
        "row b and 1 more: The template drops 'one' at 7.",
        "row d: The template never ends.",
    ]
    assert list(chat_faults.faults(examples[:1])) == []

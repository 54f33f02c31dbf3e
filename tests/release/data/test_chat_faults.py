"""Each kind of fault of a chat template is told once, with the first row that has it."""

from release.data import chat_faults
from release.data.chat import Example


def test_faults_that_differ_in_what_they_quote_are_one_kind() -> None:
    examples = [
        ("a", Example()),
        ("b", Example(fault="The template drops 'one' at 7.")),
        ("c", Example(fault="The template drops 'two' at 12.")),
        ("d", Example(fault="The template never ends.")),
    ]

    assert list(chat_faults.faults(examples)) == [
        "row b and 1 more: The template drops 'one' at 7.",
        "row d: The template never ends.",
    ]
    assert list(chat_faults.faults(examples[:1])) == []

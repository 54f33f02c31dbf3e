"""System text moves into user messages where a chat template has no place for it."""

import pytest

from release.data import turns


def by(*messages: str) -> list[dict[str, str]]:
    """Messages written as role and text, such as ``user: Is it?``."""
    return [dict(zip(("role", "content"), one.split(": ", 1), strict=True)) for one in messages]


@pytest.mark.parametrize(
    ("given", "moved"),
    [
        (["system: S", "user: U", "assistant: A"], ["user: S\n\nU", "assistant: A"]),
        (["system: S", "system: T", "user: U", "assistant: A"], ["user: S\n\nT\n\nU", "assistant: A"]),
        (
            ["system: S", "user: U", "assistant: A", "user: V", "assistant: B"],
            ["user: S\n\nU", "assistant: A", "user: V", "assistant: B"],
        ),
        (
            ["user: U", "assistant: A", "system: S", "user: V", "assistant: B"],
            ["user: U", "assistant: A", "user: S\n\nV", "assistant: B"],
        ),
        (["system: S", "assistant: A", "user: U"], ["assistant: A", "user: S\n\nU"]),
        (["user: U", "assistant: A"], ["user: U", "assistant: A"]),
        (["system: S", "assistant: A"], None),
        (["system: S", "user: U", "system: T", "assistant: A"], None),
        ([], []),
    ],
)
def test_system_text_goes_to_the_start_of_the_next_user_message(given: list[str], moved: list[str] | None) -> None:
    assert turns.system_to_user(by(*given)) == (None if moved is None else by(*moved))

"""YAML that costs too much, or that two readers read otherwise, is refused by every reader of this project."""

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gates import files
from gates.invalid import InvalidConfig
from hub_folder.card_check import read_card
from release.config import tree
from release.values.errors import ConfigError
from schemas import plain_yaml

BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
TOO_LONG = "a: 1\n" + "# text\n" * (plain_yaml.MAX_CHARACTERS // 7)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, "refers to a value elsewhere"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "refers to a value elsewhere"),
        (TOO_LONG, "characters of YAML, and no more"),
        ("a: 1\nb: 2\na: 3\n", "key 'a' stands twice"),
        ("a: {b: 1, 'b': 2}\n", "key 'b' stands twice"),
        (f"a: {'[' * 100_000}", "nested too deeply"),
        ("a: !!python/object/apply:os.system [true]\n", "could not determine a constructor"),
        ("a: 1\n--- \nb: 2\n", "single document"),
    ],
)
def test_what_readers_differ_in_or_cannot_afford_is_refused_at_once(text: str, why: str) -> None:
    started = time.process_time()

    with pytest.raises((yaml.YAMLError, ValueError), match=why):
        plain_yaml.read(text)

    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: &anchor 1\n", {"a": 1}),
        ("a: {b: 1}\nc: {b: 1}\n", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: '*b'\nc: 5 * 3\n", {"a": "*b", "c": "5 * 3"}),
        ("1: a\n'1': b\n", {1: "a", "1": "b"}),
    ],
)
def test_what_only_looks_like_it_is_read(text: str, value: object) -> None:
    assert plain_yaml.read(text) == value


def of_a_configuration(path: Path) -> object:
    return tree.read(path)


def of_the_gates(path: Path) -> object:
    return files.read_yaml(path)


def of_the_hub(path: Path) -> object:
    _, errors = read_card(f"---\n{path.read_text('utf-8')}---\n")
    if errors:
        raise ConfigError(errors)
    return None


@pytest.mark.parametrize("read", [of_a_configuration, of_the_gates])
def test_no_more_of_a_file_is_read_than_is_taken(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate(256 << 20)

    tracemalloc.start()
    try:
        with pytest.raises((ConfigError, InvalidConfig), match="characters of YAML"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_the_longest_file_is_read_whole(tmp_path: Path) -> None:
    """Its bytes are more than its characters."""
    (tmp_path / "a.yaml").write_text("a: é\nb: ".ljust(plain_yaml.MAX_CHARACTERS - 1, "é") + "!", "utf-8")

    found = of_the_gates(tmp_path / "a.yaml")

    assert isinstance(found, dict)
    assert found["b"].endswith("é!")


@pytest.mark.parametrize("text", [BOMB, TOO_LONG])
@pytest.mark.parametrize("read", [of_a_configuration, of_the_gates, of_the_hub])
def test_each_reader_refuses_it(read: Callable[[Path], object], text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text, "utf-8")

    with pytest.raises(
        (ConfigError, InvalidConfig), match=r"refers to a value elsewhere|characters of YAML|does not end within"
    ):
        read(path)

"""A template that Ollama is given is read strictly: what no Modelfile here has is refused."""

import pytest

from release.data.chat import Messages
from release.models.exports.go_template import rendered
from release.values.errors import PreflightError
from tests.helpers import ollama

ASKED: Messages = (
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Is it?"},
    {"role": "user", "content": "And that?"},
)
ROLES = (
    '{{ range .Messages }}{{ if eq .Role "system" }}S {{ .Content }};{{ else if eq .Role "user" }}U {{ .Content }};'
    '{{ else if eq .Role "assistant" }}A {{ .Content }};{{ end }}{{ end }}'
)


@pytest.mark.parametrize(
    ("template", "written"),
    [
        ("", ""),
        ("a text", "a text"),
        (ROLES, "S Be short.;U Is it?\n\nAnd that?;"),
        (f"{{{{ if not .System }}}}first{{{{ end }}}}{ROLES}A", "S Be short.;U Is it?\n\nAnd that?;A"),
        (f"{ROLES}{{{{ if not .System }}}}last{{{{ end }}}}", "S Be short.;U Is it?\n\nAnd that?;"),
    ],
)
def test_messages_are_written_by_their_role_and_those_of_one_role_together(template: str, written: str) -> None:
    assert rendered(template, ASKED) == written


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ .Content }}", "Not a template that is written here: {{ .Content }}"),
        ("{{ .Prompt }}", "Not a template that is written here: {{ .Prompt }}"),
        ('{{ if eq .Role "user" }}{{ end }}', "Not a condition"),
        ("{{ range .Messages }}{{ if .Tools }}{{ end }}{{ end }}", "Not a condition that is written here: .Tools"),
        ("{{ range .Messages }}{{ range .Messages }}{{ end }}{{ end }}", "written here: {{ range .Messages }}"),
        ("{{ end }}" * 17, "it has 17 actions"),
        ("{{ " * 100_000, "it has 100,000 actions"),
        ("{{ range .Messages }}{{ .Content }}{{ end }}" * 20_000, "it has 60,000 actions"),
    ],
)
def test_what_no_template_here_has_is_refused(template: str, says: str) -> None:
    with pytest.raises(PreflightError) as refused:
        rendered(template, ASKED)

    assert says in str(refused.value)


@pytest.mark.parametrize("number", range(len(ollama.ODD)))
def test_a_template_of_somebody_else_is_read_as_ollama_reads_it_or_refused(number: int) -> None:
    said, read = ollama.said(), 0
    for case, messages in ollama.odd():
        if case.template != ollama.ODD[number]:
            continue
        found = said[ollama.asked(case)]
        try:
            assert [rendered(case.template, messages)] == found["wrote"]
            read += 1
        except PreflightError:
            continue
    assert bool(read) is (ollama.ODD[number] in READ)


READ = (
    "X{{ range .Messages }}{{ .Content }}}{{ end }}",
    "{{ range .Messages }}{ {{ .Content }}{{ end }}",
    "{{ if not .System }}{{ range .Messages }}{{ .Content }}{{ end }}{{ end }}",
    '{{ range .Messages }}{{ if eq .Role "user" }}x{{ else if eq .Role "user" }}y{{ end }}{{ end }}',
    "a}}b",
    "{",
    "",
)

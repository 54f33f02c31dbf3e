"""A form that passed → the programs of a card that load and ask it as it was judged, one module an engine."""

from release.publishing import snippet, snippet_gguf, snippet_vllm
from release.values.record import Form, Record


def of_form(record: Record, form: Form, repo: str, tag: str) -> str:
    """How this form is loaded, as a card says it; empty where no program can load it, as behind an address."""
    program = python(record, form, repo, tag)
    if not program:
        return ""
    return _of_llama_cpp(record, form, repo, tag) if form.settings["engine"] == "llama.cpp" else block(program)


def python(record: Record, form: Form, repo: str, tag: str) -> str:
    """The program that loads this form; empty where none can."""
    engine = form.settings["engine"]
    if record.early and (engine == "vllm" or form.settings["constraint"] != "none"):
        return ""  # as their cards were published
    if engine == "transformers":
        return snippet.python(record, snippet.as_served(form), repo, revision=tag)
    if engine == "vllm":
        return snippet_vllm.python(record, form, repo, tag)
    return snippet_gguf.python(form, repo, tag) if engine == "llama.cpp" else ""


def needs(form: Form, repo: str, tag: str) -> str:
    """The command that makes the base which the program of a form loads; empty where it is not needed."""
    if form.settings["engine"] != "llama.cpp" or snippet_gguf.base_of(form) is None:
        return ""
    settings = ",".join(f"{key}={form.settings[key]}" for key in ("engine", "base", "file_type"))
    return f"adapter-release export {repo}@{tag} --as {settings} --to ."


def _of_llama_cpp(record: Record, form: Form, repo: str, tag: str) -> str:
    base, program = snippet_gguf.base_of(form), block(snippet_gguf.python(form, repo, tag))
    if told := snippet_gguf.for_ollama(form, repo, tag, record.name):
        said = "For Ollama, whose template writes each judged prompt to the byte (Ollama itself was not asked):"
        program = f"{program}\n{said}\n\n```\n{told}\n```\n"
    if base is None:
        return program
    return f"The base as `{base}` is made by `{needs(form, repo, tag)}`.\n\n{program}"


def block(program: str) -> str:
    """As a card shows it."""
    return f"```python\n{program}\n```\n"

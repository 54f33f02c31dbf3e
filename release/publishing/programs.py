"""A form that passed → the programs of a card that load and ask it as it was judged, one module an engine."""

from release.publishing import snippet, snippet_gguf, snippet_vllm
from release.values.record import Form, Record


def of_form(record: Record, form: Form, repo: str, tag: str) -> str:
    """How this form is loaded; empty where no program can load it, as behind an address."""
    engine = form.settings["engine"]
    if record.early and (engine == "vllm" or form.settings["constraint"] != "none"):
        return ""  # as their cards were published
    if engine == "transformers":
        return block(snippet.python(record, snippet.as_served(form), repo, revision=tag))
    if engine == "vllm":
        return block(snippet_vllm.python(record, form, repo, tag))
    return _of_llama_cpp(record, form, repo, tag) if engine == "llama.cpp" else ""


def _of_llama_cpp(record: Record, form: Form, repo: str, tag: str) -> str:
    base, program = snippet_gguf.base_of(form), block(snippet_gguf.python(form, repo, tag))
    if told := snippet_gguf.for_ollama(form, repo, tag, record.name):
        said = "For Ollama, whose template writes each judged prompt to the byte (Ollama itself was not asked):"
        program = f"{program}\n{said}\n\n```\n{told}\n```\n"
    if base is None:
        return program
    settings = ",".join(f"{key}={form.settings[key]}" for key in ("engine", "base", "file_type"))
    export = f"adapter-release export {repo}@{tag} --as {settings} --to ."
    return f"The base as `{base}` is made by `{export}`.\n\n{program}"


def block(program: str) -> str:
    """As a card shows it."""
    return f"```python\n{program}\n```\n"

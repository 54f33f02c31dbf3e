"""Judge a release that exists in forms that it never claimed: the table, and whether it passes in each."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import gates
from release.checking import allowed, laid_out, opening
from release.checking.allowed import Allowed
from release.config import reading
from release.config import tree as trees
from release.config.settings import Config, Form
from release.judging import derive, recording, served
from release.models.engines import ready
from release.models.generate import generate
from release.values import assets, layout
from release.values.artifacts import Adapter, Manifest, write_atomically
from release.values.errors import ConfigError, GatesFailed, PreflightError
from release.values.events import Say, Stage, tell
from release.values.layout import TRAINED

REPORT = "serve-check.md"


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which release, and in which forms."""

    release: str
    """``REPO@TAG``, ``REPO@TAG@COMMIT`` or a folder."""
    endpoint: str
    known: opening.Known
    forms: Mapping[str, Mapping[str, object]]
    """As under ``serving`` in release.yaml."""
    allowed: Allowed = field(default_factory=Allowed)
    """What of the release may run here."""
    output: Path | None = None


def forms(texts: list[str]) -> dict[str, dict[str, object]]:
    """``base=unquantized`` and ``engine=llama.cpp,merged=true`` as forms, each named by its values.

    Raises ``ConfigError`` with every setting that is wrong.
    """
    found: dict[str, dict[str, object]] = {}
    for text in texts:
        parts = [one.partition("=") for one in text.split(",")]
        words = [key if value.strip() == "true" else value for key, _, value in parts]
        slug = re.sub("[^a-z0-9_]+", "-", "-".join(words).lower()).strip("-")[:36] or "form"
        name = slug if slug not in (*found, TRAINED) else f"{slug}-{len(found) + 1}"
        found[name] = {key.strip(): trees.parsed(value) if equals else None for key, equals, value in parts}
    default = assets.asset("release.yaml")
    try:
        reading.parse({**trees.parsed_file(default), "serving": found}, default)
    except ConfigError as error:
        raise ConfigError(
            [re.sub(r"^.*?(?=serving\.)serving\.", "--as ", one, count=1) for one in error.problems]
        ) from None
    return found


def serve_check(request: Request, say: Say) -> None:
    """Answer the golden set again in each form, judge it, and say; ``GatesFailed`` where one does not pass."""
    with (
        laid_out.verified(request.release, request.endpoint, request.known, say) as found,
        tempfile.TemporaryDirectory() as scratch,
    ):
        release, output = found.release, laid_out.output_folder(request.output, found)
        wanted = allowed.check(release.record, request.allowed, say)
        settings = {**laid_out.settings_of(release.record, wanted), "serving": request.forms}
        config = laid_out.parsed(settings, Path("release.yaml"))
        place = laid_out.place_of(settings, say)
        _must_be_ready(config, here=place.image_digest is None)
        base = laid_out.base_of(found, say)
        run = laid_out.answering_run(found, settings, Path(scratch) / "run")
        files = Manifest.of_folder(run / "adapter")
        adapter = Adapter(folder=run / "adapter", files=files, training=release.record.training)
        if release.base_answers is None:  # as releases of 0.1.0
            generate(run, base, adapter, place, say)
        else:
            for name in (layout.ANSWERS, layout.BASE_ANSWERS):
                shutil.copyfile(release.folder / name, run / layout.in_run(name))
        trained = gates.read_outputs(run / layout.in_run(layout.ANSWERS))
        judged = []
        for name, form in sorted(config.serving.items()):
            say(Stage(name="generate", note=f"as {told(form)}"))
            answers = gates.read_outputs(generate(run, base, adapter, place, say, name) / "answers.jsonl")
            near = recording.made(run, name).parity
            judged.append(served.judged(release.terms, name, answers, trained, asdict(form), near))
        verdict = derive.alone(release.terms, trained, None).verdict
        output.mkdir(parents=True, exist_ok=True)
        (output / "lock").touch()  # so that the next report may go here too
        write_atomically(output / REPORT, served.markdown(verdict, judged).encode())
        tell(say, ["", *served.lines(judged), f"report:  {output / REPORT}"])
        failed = [one.name for one in judged if not one.passed]
    if failed:
        raise GatesFailed(
            f"{found.name} does not pass its gates as {', '.join(failed)}: who loads it so gets another model than "
            f"was judged. The failing rows are in {output / REPORT}. Load it as its card says, or train it over "
            "what it is to be served on (training.over)."
        )


def _must_be_ready(config: Config, *, here: bool) -> None:
    """``PreflightError`` with all that the forms lack: one that cannot be asked is not found out after the others."""
    if lacking := ready.problems(config, here=here):
        lines = "\n".join(f"- {one.replace('serving.', '--as ', 1)}" for one in lacking)
        raise PreflightError(f"Nothing was asked yet, for it cannot be asked in every form that was named:\n{lines}")


def told(form: Form) -> str:
    """A form in a few words."""
    words: list[str] = [form.engine]
    if form.engine == "openai":
        words.append(f"{form.model} at {form.url}")
    else:
        words += [f"base {form.base}", *(["merged"] if form.merged else [])]
    if form.engine == "llama.cpp":
        words.append(form.file_type)
    return ", ".join([*words, *([form.constraint] if form.constraint != "none" else [])])

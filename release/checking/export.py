"""The files in which other engines load a release, made again from its adapter and its base."""

import json
import shutil
import tempfile
from pathlib import Path

from release.checking import allowed, laid_out
from release.checking.serve_check import Request
from release.config import forms
from release.models.exports import making
from release.values import layout
from release.values.artifacts import sha256_file
from release.values.errors import ConfigError, VerificationError
from release.values.events import Line, Say


def export(request: Request, to: Path, say: Say) -> None:
    """What each form loads, into the folder ``to``; a file of the release itself comes out as it was judged."""
    with (
        laid_out.verified(request.release, request.endpoint, request.known, say) as found,
        tempfile.TemporaryDirectory() as scratch,
    ):
        wanted = allowed.check(found.release.record, request.allowed, say)
        settings = {**laid_out.settings_of(found.release.record, wanted), "serving": request.forms}
        config = laid_out.parsed(settings, Path("release.yaml"))
        if nothing := [name for name, form in config.serving.items() if not forms.has_files(form)]:
            says = "loads the published adapter over the base, and needs no file of its own. Name a form of llama.cpp"
            raise ConfigError([f"--as {name}: it {says}, or merged=true." for name in nothing])
        base, place = laid_out.base_of(found, say), laid_out.place_of(settings, say)
        run = laid_out.answering_run(found, settings, Path(scratch) / "run")
        passed = [form for form in (found.release.record.forms or {}).values() if form.passed]
        judged = {name: sha256 for form in passed for name, sha256 in form.exports.items()}
        for name in sorted(config.serving):
            told = json.loads(making.exported(run, base, place, say, name).read_bytes())
            ollama = (told["ollama"] or {}).get("file")
            for file in (*told["files"], *told["base"], *([ollama] if ollama else [])):
                _keep(run / layout.EXPORTS / file, to / file, judged.get(file), say)


def _keep(made: Path, to: Path, judged: str | None, say: Say) -> None:
    """One file, in its place; ``VerificationError`` where the release was judged with another under this name."""
    if judged is not None and sha256_file(made) != judged:
        raise VerificationError(
            f"{to.name} comes out with other bytes than those that were judged: other versions of what makes it are "
            "installed here, or it was made on another device, such as a card then and the processor now. Take it "
            "from the release itself, under exports/."
        )
    if to.exists():
        raise ConfigError([f"{to} is there already. Name another folder with --to; nothing is overwritten."])
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.with_name(f".{to.name}.partial")
    shutil.copyfile(made, partial)
    partial.replace(to)
    say(Line(text=f"{to}  {'as it was judged' if judged else 'not judged: see serve-check'}"))

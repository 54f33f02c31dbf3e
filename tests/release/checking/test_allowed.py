"""Nothing of a release runs by its record's wish: what is named, what is refused, and what a caller's word opens."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from release.checking import allowed, opening, verify
from release.checking.allowed import Allowed
from release.config.settings import Config, Container
from release.models import base as bases
from release.values.artifacts import Adapter, Manifest
from release.values.errors import ConfigError
from release.values.events import Event, Line
from release.values.record import Record, known
from tests.helpers import small_release as releases
from tests.helpers.foreign_code import can_be_apart, leaked, looking, read, with_secrets
from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import ROOT, adapter_release
from tests.helpers.small_release import read_record, small_release
from tests.release.models.test_base import put, weights

DIGEST, OTHER = f"sha256:{'d' * 64}", f"sha256:{'e' * 64}"
NAMED = f"evil.example/image@{DIGEST}"
TINY = "someone/tiny"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    value: Mapping[str, Any] = read_record(small_release(tmp_path_factory.mktemp("made")).folder)
    return value


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a release.yaml, on a machine without an engine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")


def recorded(honest: Mapping[str, Any], **sections: Mapping[str, Any]) -> Record:
    value = json.loads(json.dumps(honest))
    for name, section in sections.items():
        value["config"][name] = {**value["config"].get(name, {}), **section}
    value["image_digest"] = sections.get("container", {}).get("image", "").rpartition("@")[2] or None
    return known(value)


def checked(record: Record, given: Allowed) -> tuple[Container, str]:
    told: list[Event] = []
    wanted = allowed.check(record, given, told.append)
    return wanted, "\n".join(one.text for one in told if isinstance(one, Line))


def test_a_release_without_anything_of_others_runs_where_the_caller_would(honest: Mapping[str, Any]) -> None:
    assert checked(recorded(honest), Allowed()) == (Container(), "")


def test_remote_code_is_named_and_refused_and_the_option_opens_it(honest: Mapping[str, Any]) -> None:
    record = recorded(honest, model={"base_model_id": TINY, "revision": "1" * 40, "trust_remote_code": True})
    record.base.files["modeling_tiny.py"] = "2" * 64  # type: ignore[index]
    told: list[Event] = []

    with pytest.raises(ConfigError, match=r"nothing run\. .*give --trust-remote-code"):
        allowed.check(record, Allowed(), told.append)
    assert isinstance(told[0], Line)
    assert f"Python files of {TINY} at {'1' * 40} (modeling_tiny.py)" in told[0].text
    assert "on this machine, with your rights" in told[0].text
    assert checked(record, Allowed(remote_code=True))[0] == Container()


def test_a_recorded_image_is_not_used_and_how_it_would_be_is_told(honest: Mapping[str, Any]) -> None:
    wanted, said = checked(recorded(honest, container={"image": NAMED}), Allowed())

    assert wanted == Container()
    assert f"{NAMED}, which is not used; --allow-image {DIGEST}" in said


@pytest.mark.parametrize(
    ("given", "image"), [(DIGEST, NAMED), (f"mirror.example/image@{DIGEST}", f"mirror.example/image@{DIGEST}")]
)
def test_an_image_of_which_the_caller_gives_the_digest_is_used(
    given: str, image: str, honest: Mapping[str, Any]
) -> None:
    wanted, said = checked(recorded(honest, container={"image": NAMED}), Allowed(image=given))

    assert wanted.image == image
    assert image in said


@pytest.mark.parametrize("container", [{"image": NAMED}, {}])
def test_an_image_that_the_release_was_not_made_in_is_refused(
    container: Mapping[str, Any], honest: Mapping[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=f"--allow-image {OTHER}: the release was made in"):
        checked(recorded(honest, container=container), Allowed(image=OTHER))


@pytest.mark.parametrize("text", ["image:latest", "sha256:12", "", f"IMAGE@{DIGEST}", f"-x@{DIGEST}"])
def test_an_image_is_named_by_its_digest(text: str, honest: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"--allow-image .* is not an image by its digest"):
        checked(recorded(honest, container={"image": NAMED}), Allowed(image=text))


def with_own(**container: object) -> None:
    """The caller's own configuration, in the folder that the command runs in."""
    text = (ROOT / "release.yaml").read_text("utf-8")
    text = re.sub("(?ms)^container:.*?(?=^[a-z])", "", text)
    Path("release.yaml").write_text(f"{text}\ncontainer: {json.dumps(container)}\n", "utf-8")


def test_the_callers_own_configuration_says_where_it_runs(honest: Mapping[str, Any]) -> None:
    with_own(use="require", memory_gib=8)
    record = recorded(honest, container={"use": "never", "image": NAMED})

    assert checked(record, Allowed())[0] == Container(use="require", memory_gib=8)
    assert checked(record, Allowed(container="never"))[0] == Container(use="never")


def test_an_image_that_the_callers_own_configuration_names_is_used(honest: Mapping[str, Any]) -> None:
    with_own(image=f"mine.example/image@{DIGEST}")

    assert checked(recorded(honest, container={"image": NAMED}), Allowed())[0].image == f"mine.example/image@{DIGEST}"
    assert checked(recorded(honest), Allowed())[0].image is None


def test_a_configuration_that_cannot_be_read_may_require_a_container(honest: Mapping[str, Any]) -> None:
    Path("release.yaml").write_text("container: require\n", "utf-8")

    with pytest.raises(ConfigError, match=r"(?s)may require a container.*--container auto"):
        checked(recorded(honest), Allowed())
    assert checked(recorded(honest), Allowed(container="auto"))[0] == Container()


@pytest.mark.parametrize("sections", [{"model": {"trust_remote_code": True}}, {"container": {"image": NAMED}}])
def test_verify_tells_what_a_release_asks_for(sections: Mapping[str, Any], tmp_path: Path) -> None:
    folder = small_release(tmp_path / "made", **sections).folder
    told: list[Event] = []

    verify.verify(str(folder), "file:hub", told.append, opening.Known())

    said = [one.text.strip() for one in told if isinstance(one, Line)]
    noted = [text for text in said if text.startswith("--") and "Nothing here" in text]
    assert len(noted) == 1


# A real release whose base, on a Hub, brings code of its own.


CONFIG = {
    "model_type": "tiny_evil",
    "architectures": ["Tiny"],
    "auto_map": {"AutoConfig": "modeling_tiny.TinyConfig", "AutoModelForCausalLM": "modeling_tiny.Tiny"},
}


@pytest.fixture
def hostile(away: EmbeddedHub, base: bases.Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its folder; where its base's code runs, it leaves ``marker`` in the test's folder."""
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    tokenizer = {name: (base.folder / name).read_bytes() for name in names}
    code = f"{looking(tmp_path / 'marker')}\nraise RuntimeError('it ran')\n".encode()
    files = {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": weights("a.weight"), **tokenizer}
    commit = put(away, tmp_path / "files", **files, **{"modeling_tiny.py": code})
    model = {"base_model_id": TINY, "source": "hub", "revision": commit, "trust_remote_code": True}

    def with_a_tokenizer(run: Path, loaded: Config) -> Adapter:
        made = its_adapter(run, loaded)
        for name in ("tokenizer.json", "tokenizer_config.json"):  # the template stays the one that was judged
            (made.folder / name).write_bytes(tokenizer[name])
        return replace(made, files=Manifest.of_folder(made.folder))

    its_adapter = releases._adapter
    with monkeypatch.context() as patch:
        patch.setenv("ADAPTER_RELEASE_CACHE", str(tmp_path / "publishers"))
        patch.setattr(releases, "_adapter", with_a_tokenizer)
        patch.setattr(releases, "small_base", lambda _, loaded: bases.resolve(loaded.model, lambda _: None))
        return small_release(tmp_path / "made", model=model).folder


COMMANDS = [("rejudge",), ("reproduce", "--anyway"), ("serve-check",), ("export", "--to", "exports")]


@pytest.mark.parametrize("command", COMMANDS, ids=[one[0] for one in COMMANDS])
def test_code_of_a_base_is_neither_fetched_nor_run_by_the_records_wish(
    command: tuple[str, ...], hostile: Path, tmp_path: Path
) -> None:
    done = adapter_release(*command, str(hostile), cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code, done.stderr
    assert f"remote code: Python files of {TINY} at " in done.stderr
    assert "--trust-remote-code" in done.stderr
    assert not (tmp_path / "marker").exists()
    assert not list(tmp_path.glob("cache/**/*.py"))


def test_code_that_the_caller_allows_sees_no_secret(hostile: Path, tmp_path: Path, away: EmbeddedHub) -> None:
    env = with_secrets({"HF_TOKEN": away.token, "PYTHONPATH": str(ROOT)})
    command = [sys.executable, "-m", "release.cli", "rejudge", str(hostile), "--trust-remote-code"]

    shell = ["sh", "-c", '"$@"; true', "sh", *command]
    done = subprocess.run(shell, cwd=tmp_path, env=env, check=True, capture_output=True, text=True)

    assert (tmp_path / "marker").exists(), done.stderr
    seen = read(tmp_path / "marker")
    secrets = [leaked(seen["environment"]), leaked(seen["ancestors"][0])]  # the last are a shell's, above the command
    assert secrets == [[], []]
    assert away.token not in json.dumps([seen["environment"], seen["ancestors"][0]])
    if can_be_apart():
        assert leaked(seen) == []
        assert {one["memory"] for one in seen["ancestors"]} == {"unreadable"}

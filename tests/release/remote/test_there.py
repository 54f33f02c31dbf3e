"""The program over there and the job that it holds, with no client between and a stand-in for the code that is sent.

What is cut, killed, full, slow, flooded or hostile is met here; the daemons are in `test_elsewhere`.
"""

import json
import os
import shlex
import signal
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from release.cli.ending import Ended
from release.config import reading
from release.config.settings import Config
from release.remote import job, line, parcel, there
from release.remote.system import GONE
from release.remote.systems import BOOT
from release.running import spending
from release.values.errors import ConfigError, GatesFailed, PreflightError, VerificationError
from release.values.events import Event, Line, Stage
from tests.helpers import lent
from tests.helpers.lent import JOB, wait_until

SPENT = spending.written(
    [spending.Entry(run="a", attempt="there", seconds=20, price_per_hour=1.0, currency="USD")]
).decode()
REPORTS = "import os, sys\nos.mkdir('dist')\nopen('dist/report.md', 'w').write('no')\n"
WAITS = "import time, sys\nprint('at work', file=sys.stderr, flush=True)\ntime.sleep(60)\n"


@dataclass(frozen=True, kw_only=True)
class Here:
    """This machine as somebody else's, where ``program`` stands for the code that is sent."""

    home: Path
    program: str = ""
    instead: Mapping[str, str] = field(default_factory=dict)
    """A shell's words in place of the program over there, by what it is asked."""
    name: str = "here"
    python: str = sys.executable
    scheduled: bool = False

    @property
    def client(self) -> Mapping[str, str]:
        return {"PATH": os.environ["PATH"]}

    def check(self, *, starts: bool) -> None:
        """Nothing is needed."""

    def of_account(self, account: str) -> "Here":  # noqa: ARG002
        return self

    def folder(self, job: str) -> str:
        return str(self.home / ".adapter-release" / job)

    def speak(self, words: Sequence[str]) -> list[str]:
        command = [sys.executable, "-I", "-c", BOOT, *words]
        if words[0] not in self.instead:
            return command
        return ["sh", "-c", f"program() {{ {shlex.join(command)}; }}; {self.instead[words[0]]}"]

    def silent(self, code: int, said: str) -> str:
        return f"it ended with {code}: {said}."

    def start(self, job: str) -> bool:
        code = Path(self.folder(job)) / "code" / "release"
        (code / "__init__.py").write_text("", "utf-8")
        (code / "cli" / "__init__.py").write_text("", "utf-8")
        (code / "cli" / "__main__.py").write_text(self.program, "utf-8")
        return False

    def state(self, job: str) -> str:  # noqa: ARG002
        return GONE

    def cancel(self, job: str) -> None:
        """Nothing but the process."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return reading.load(lent.project(tmp_path_factory.mktemp("project") / "line") / "release.yaml")


@pytest.fixture
def config(project: Config, tmp_path: Path) -> Config:
    """One project, with runs of its own."""
    return replace(project, run=replace(project.run, output_dir=tmp_path / "run"))


@pytest.fixture
def here(tmp_path: Path) -> Here:
    (tmp_path / "home").mkdir()
    return Here(home=tmp_path / "home")


def made(config: Config, here: Here) -> None:
    """A candidate; raises why it stops."""
    job.candidate(config, config.run.output_dir.parent / "dist", here, lambda _: None)


def told(config: Config) -> bool:
    return bool(json.loads((config.run.output_dir / job.STATE).read_bytes())["told"])


def ended(config: Config, here: Here) -> list[str]:
    said: list[str] = []
    job.end(config, here, lambda event: said.append(event.text if isinstance(event, Line) else ""))
    return said


SAYS = {
    "with more under it": ("a\nerror: so\n  and so\n", "so\n  and so", ["a"]),
    "nothing": ("a\nb\n", "", ["a", "b"]),
    "a warning after it": ("error: so\nx.py:1: late\n", "so", ["error: so", "x.py:1: late"]),
    "another one before it": ("error: pip\ngoes on\nerror: so\n", "so", ["error: pip", "goes on"]),
    "beyond what is shown": ("flood\n" * 100 + "error: so\n", "so", ["flood"] * 9),
    "a line without an end": ("x" * 300_000 + "\nerror: so\n", "so", ["x" * job.SAID]),
    "no end of lines": ("error: so\n" + "  x\n" * 50_000, None, None),
    "what a terminal obeys": ("\033]0;e\007\n  ::add-mask::x\nerror: \033c\n", "�c", ["�]0;e�", "  : :add-mask::x"]),
}


@pytest.mark.parametrize("step", [1 << 16, 1000])
@pytest.mark.parametrize("name", SAYS)
def test_why_a_job_stopped_is_its_own_last_word_and_all_before_it_is_shown(
    tmp_path: Path, name: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "LOGGED", 50)
    text, word, shown = SAYS[name]
    said, found = list[str](), ""
    with (tmp_path / "log").open("wb") as log:
        show = job._shown({}, log, lambda event: said.append(event.text if isinstance(event, Line) else ""))
        for at in range(0, len(text), step):
            found = show(text[at : at + step])

    if word is None:
        assert len(found) < 2 * job.SAID
    else:
        assert found == word
        assert [one[-job.SAID :] for one in said] == shown
    assert "\033" not in (tmp_path / "log").read_text("utf-8")
    assert (tmp_path / "log").stat().st_size < 50 + 3 * job.SAID


STOPS = {
    "none": ("import sys\nsys.exit(5)", GatesFailed, "^here did not say why"),
    "none of 2": ("import sys\nsys.exit(2)", ConfigError, "^here did not say why"),
    "killed": ("import os\nos.kill(os.getpid(), 9)", PreflightError, "was killed"),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_job_without_a_last_word_is_stopped_as_its_exit_status_says(config: Config, here: Here, name: str) -> None:
    program, kind, says = STOPS[name]

    with pytest.raises(kind, match=says):
        made(config, replace(here, program=REPORTS + program))

    left = list(here.home.glob(f".adapter-release/*/{there.LOG}"))
    assert (left == []) is (kind is ConfigError)


CUTS = {
    "the line, while it is fetched": ({"fetch": "program | head -c 3000; exit 255"}, "was cut"),
    "the line, before a word": ({"fetch": "echo adapter-release speaks; exit 255"}, "was cut"),
    "the program there": ({"fetch": "echo adapter-release speaks; echo No space left >&2; exit 1"}, "No space left"),
    "the disk here": ({}, "cannot be used|File exists"),
}


@pytest.mark.parametrize("name", CUTS)
def test_what_is_ready_is_brought_home_by_the_same_command_after_a_fault_on_the_way(
    config: Config, here: Here, name: str
) -> None:
    instead, says = CUTS[name]
    works = replace(here, program=f"{REPORTS}open('started', 'a').write('x')\nsys.exit(5)")
    came = config.run.output_dir / job.CAME
    config.run.output_dir.mkdir()
    if not instead:
        came.write_text("in the way", "utf-8")

    with pytest.raises((PreflightError, OSError), match=says):
        made(config, replace(works, instead=instead))
    assert not told(config)
    came.unlink(missing_ok=True)
    with pytest.raises(GatesFailed):
        made(config, works)

    assert (config.run.output_dir.parent / "dist" / "report.md").read_text("utf-8") == "no"
    (started,) = here.home.glob(".adapter-release/*/*/started")
    assert started.read_text("utf-8") == "x"
    assert told(config)


def test_what_is_wrong_in_what_came_is_no_cut_line_and_another_attempt_is_next(config: Config, here: Here) -> None:
    program = f"{REPORTS}open('dist/evil', 'w').write('x')\nsys.exit(5)"

    with pytest.raises(VerificationError, match="dist/evil is no file of a candidate"):
        made(config, replace(here, program=program))

    assert told(config)


def test_what_cannot_be_done_there_is_not_called_a_cut_line(config: Config, here: Here) -> None:
    full = replace(here, instead={"put": "echo adapter-release speaks; echo OSError: No space left >&2; exit 1"})

    with pytest.raises(
        PreflightError, match=r"could not be done there: OSError: No space left. What was there"
    ) as stop:
        made(config, full)

    assert not isinstance(stop.value, line.Cut)


def test_a_flood_of_errors_is_read_to_its_last_line(here: Here) -> None:
    floods = (
        "echo adapter-release speaks; head -c 30000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo the end >&2; exit 1"
    )

    with pytest.raises(PreflightError, match="could not be done there: the end"):
        line.ask(replace(here, instead={"state": floods}), "state", ".")


def test_what_a_job_counted_that_is_ended_is_counted_here(config: Config, here: Here) -> None:
    program = f"import os, time\nos.makedirs('runs', exist_ok=True)\nopen('runs/spent.jsonl', 'w').write({SPENT!r})\n"
    with pytest.raises(PreflightError):
        made(config, replace(here, program=f"{program}os.kill(os.getpid(), 15)"))
    (config.run.output_dir / spending.NAME).unlink()

    said = ended(config, here)

    assert said[-1].endswith("Nothing is left on here.")
    assert (config.run.output_dir / spending.NAME).read_text("utf-8") == SPENT
    assert list((here.home / ".adapter-release").iterdir()) == []
    assert not (config.run.output_dir / job.STATE).exists()


def test_a_machine_that_lies_cannot_keep_its_job_from_being_ended(config: Config, here: Here) -> None:
    with pytest.raises(ConfigError):
        made(config, replace(here, program="import sys\nsys.exit(2)", instead={"remove": "exit 255"}))
    lies = "echo adapter-release speaks; echo lies"

    said = ended(config, replace(here, instead={"fetch": lies, "remove": "echo adapter-release speaks; echo '{}'"}))

    assert any("What it judged and spent is not counted here" in one for one in said)
    assert "Not all of it could be removed" in said[-1]


@pytest.mark.parametrize(
    "state",
    [
        "", "{", "[]", "null", "{}", '{"on":"here"}', "[" * 100_000, '{"on":"here","job":5,"inputs":""}',
        '{"on":"here","job":"../../evil","inputs":""}', '{"on":"here","job":"0123456789abcdef\\n","inputs":""}',
    ],
)  # fmt: skip
def test_a_state_that_is_none_is_named_and_nothing_is_asked(config: Config, here: Here, state: str) -> None:
    config.run.output_dir.mkdir()
    (config.run.output_dir / job.STATE).write_text(state, "utf-8")

    with pytest.raises(PreflightError, match=r"elsewhere\.json .*move the file away to start a new job"):
        ended(config, here)


def there_is(here: Here, *words: str) -> object:
    return line.ask(here, words[0], here.folder(JOB), *words[1:])


def laid(config: Config, here: Here, program: str = WAITS) -> Path:
    """A job that was sent and not started."""
    line.ask(here, "put", here.folder(JOB), give=parcel.of(config).write)
    replace(here, program=program).start(JOB)
    return Path(here.folder(JOB))


def ends(folder: Path) -> None:
    wait_until(lambda: there.code(folder) is not None and not there.runs(folder), "it does not end")


def test_a_job_is_at_work_once_it_is_started_is_started_once_and_is_ended(config: Config, here: Here) -> None:
    folder = laid(config, here)

    assert there_is(here, "start") == {"runs": True}
    wait_until(lambda: b"at work" in (folder / there.LOG).read_bytes() if (folder / there.LOG).exists() else False, "-")
    number = (folder / there.PID).read_text("utf-8")
    assert there_is(here, "start") == {"runs": True}
    assert (folder / there.PID).read_text("utf-8") == number
    assert there_is(here, "end") == {"runs": False}
    assert there.code(folder) == 128 + signal.SIGTERM
    assert there_is(here, "remove") == {"there": False}


def test_a_job_that_was_ended_before_it_began_does_not_begin_until_it_is_sent_again(config: Config, here: Here) -> None:
    folder = laid(config, here, "")

    assert there_is(here, "end") == {"runs": False}
    assert there_is(here, "start") == {"runs": False}
    assert there.code(folder) is None
    laid(config, here, "")
    there_is(here, "start")
    ends(folder)
    assert there.code(folder) == 0


def test_ctrl_c_ends_the_job_and_a_closed_terminal_does_not(config: Config, here: Here) -> None:
    works = replace(here, program=WAITS)

    def closed(event: Event) -> None:
        if isinstance(event, Line) and "at work" in event.text:
            raise Ended(signal.SIGHUP)

    def interrupted(event: Event) -> None:
        if isinstance(event, Line) and event.text == "at work":
            raise KeyboardInterrupt

    with pytest.raises(Ended):
        job.candidate(config, config.run.output_dir.parent / "dist", works, closed)
    (folder,) = (here.home / ".adapter-release").iterdir()
    assert there.runs(folder)
    with pytest.raises(KeyboardInterrupt):
        job.candidate(config, config.run.output_dir.parent / "dist", works, interrupted)

    assert not there.runs(folder)
    assert told(config)
    assert there.code(folder) == 128 + signal.SIGTERM


@pytest.mark.parametrize("at", ["elsewhere", "attached"])
def test_ctrl_c_right_after_the_same_command_ends_the_job_too(config: Config, here: Here, at: str) -> None:
    dist = config.run.output_dir.parent / "dist"
    works = replace(here, program=WAITS)

    def stops(at: str, why: type[BaseException], *number: int) -> Callable[[Event], None]:
        def say(event: Event) -> None:
            if at in (event.name if isinstance(event, Stage) else str(getattr(event, "text", ""))):
                raise why(*number)

        return say

    with pytest.raises(KeyboardInterrupt):  # nothing is there yet, and nothing is asked
        job.candidate(config, dist, replace(works, instead={"end": "exit 3"}), stops("elsewhere", KeyboardInterrupt))
    assert not (config.run.output_dir / job.STATE).exists()
    with pytest.raises(Ended):
        job.candidate(config, dist, works, stops("at work", Ended, signal.SIGHUP))
    (folder,) = (here.home / ".adapter-release").iterdir()
    with pytest.raises(Ended):
        job.candidate(config, dist, works, stops(at, Ended, signal.SIGHUP))
    assert there.runs(folder)

    with pytest.raises(KeyboardInterrupt):
        job.candidate(config, dist, works, stops(at, KeyboardInterrupt))

    assert not there.runs(folder)
    assert told(config)


def test_ctrl_c_ends_a_sending_that_goes_nowhere(config: Config, here: Here) -> None:
    stuck = replace(here, instead={"put": "echo adapter-release speaks; exec sleep 3"})

    def interrupt(*_: object) -> None:
        raise Ended(signal.SIGINT)

    def soon(event: Event) -> None:
        if isinstance(event, Line) and "sending" in event.text:
            signal.setitimer(signal.ITIMER_REAL, 1)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Ended):
            job.candidate(config, config.run.output_dir.parent / "dist", stuck, soon)
    finally:
        signal.signal(signal.SIGALRM, before)

    assert told(config)


def test_what_keeps_a_job_from_beginning_is_told(config: Config, here: Here) -> None:
    folder = laid(config, here)
    (folder / there.LOG).mkdir()

    there_is(here, "start")
    wait_until(lambda: not there.runs(folder), "it does not end")

    state = there_is(here, "state")
    assert isinstance(state, dict)
    assert "IsADirectoryError" in state["said"]


@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_nobody_else_reads_a_job_or_lays_another_in_its_place(config: Config, here: Here, mode: int) -> None:
    above = here.home / ".adapter-release"
    above.mkdir()
    above.chmod(mode)

    folder = laid(config, here)

    every = [above, folder, *folder.rglob("*")]
    open_to_others = [path for path in every if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert [path for path in open_to_others if "code/release" not in path.as_posix()] == []  # of the stand-in


def test_what_a_job_that_is_gone_counted_stays_counted_when_it_is_sent_again(config: Config, here: Here) -> None:
    config.run.output_dir.mkdir()
    mine = spending.Entry(run="a", attempt="here", seconds=10, price_per_hour=1.0, currency="USD")
    (config.run.output_dir / spending.NAME).write_bytes(spending.written([mine]))
    spent = laid(config, here) / there.COUNTED[1]
    spent.write_text(spent.read_text("utf-8") + SPENT, "utf-8")

    for _ in range(2):
        laid(config, here)
        assert [one.attempt for one in spending.read(spent.parent)] == ["here", "there"]

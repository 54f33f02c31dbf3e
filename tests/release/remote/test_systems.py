"""Which machines can be named, and that nothing of a name is run."""

import subprocess
import sys
from pathlib import Path

import pytest

from release.remote import systems
from release.remote.systems import Ssh
from release.values.errors import ConfigError


@pytest.mark.parametrize(
    "host", ["there", "me@there", "me.too@there.example", "10.0.0.1", "fe80::1%eth0", "a_b-c", "x"]
)
def test_a_host_is_taken_as_it_is_typed(host: str) -> None:
    found = systems.find(f"ssh:{host}", None, Path())

    words = found.speak(["look", "."])
    assert words[words.index("--") + 1] == host
    assert found.python == "python3"


@pytest.mark.parametrize(
    "on",
    [
        *(
            "ssh:",
            "ssh",
            "ssh:-oProxyCommand=x",
            "ssh:me@-l",
            "ssh:a b",
            "ssh:a;b",
            "ssh:$(x)",
            "ssh:a\nb",
            "ssh:@there",
        ),
        *("ssh:there/x", "ssh:a'b", "ssh:-l@there", "ssh:é", "sky:x", "slurm:", "SSH:there", ""),
        *(
            "hf-jobs:",
            "hf-jobs:A10G",
            "hf-jobs:a/b/c",
            "hf-jobs:l4x1@",
            "hf-jobs:l4x1@6",
            "hf-jobs:l4x1@0h",
            "hf-jobs:-x",
        ),
        *(
            "hf-jobs:l4x1@6w",
            "hf-jobs:a b",
            "hf-jobs:l4x1\n",
            "hf-jobs:/l4x1",
            "hf-jobs:../l4x1",
            "hf-jobs:l4x1@123456h",
        ),
    ],
)
def test_what_names_no_machine_is_refused(on: str) -> None:
    with pytest.raises(ConfigError, match="--on"):
        systems.find(on, None, Path())


@pytest.mark.parametrize("python", ["-c", "a b", "a;b", "$(x)", "~/python", "", "a\nb"])
def test_a_python_that_a_shell_could_take_for_more_is_refused(python: str) -> None:
    with pytest.raises(ConfigError, match=r"--python .* is not the path of a program"):
        systems.find("ssh:there", python, Path())


@pytest.mark.parametrize("version", [(2, 7), (3, 6), (3, 7)])
def test_a_python_that_cannot_read_the_program_says_so(version: tuple[int, int]) -> None:
    old = f"import sys;sys.version_info=(*{version},0,'final',0);{systems.BOOT}"

    done = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == f"it is Python {version[0]}.{version[1]}, and 3.11 to 3.13 are needed\n"


@pytest.mark.parametrize("word", ["a b", "$(touch evil)", "'; touch evil; '", "`touch evil`", "-x", "*", "a\\nb"])
def test_words_reach_the_program_over_there_as_they_are(tmp_path: Path, word: str) -> None:
    """A login's shell gets one text, and reads the words out of it."""
    shows = tmp_path / "python"
    shows.write_text('#!/bin/sh\nfor one in "$@"; do printf "%s|" "$one"; done\n', "utf-8")
    shows.chmod(0o755)
    *_, text = Ssh(host="there", python=str(shows)).speak([word])

    done = subprocess.run(["sh", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout == f"-I|-c|{systems.BOOT}|{word}|"
    assert [path.name for path in tmp_path.iterdir()] == ["python"]

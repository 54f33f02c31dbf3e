"""Where an adapter is brought from: a folder, a zip file, one GGUF file, or a commit of a repository on the Hub.

What its trainer left is somebody else's: only files that are on a list are looked at, within bounds; nothing is
unpickled; links are not followed; and of a zip no path leads outside.
"""

import contextlib
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from release.config.rules import HUB_ADAPTER
from release.hub import address, requests
from release.values import bounded, bounds, contents, layout
from release.values.bounds import MB, Kind
from release.values.errors import ConfigError, PreflightError
from release.values.events import Line, Say

HUB = re.compile(HUB_ADAPTER)
MLX_WEIGHTS = "adapters.safetensors"
ORIGIN = "import.json"
"""What `import` writes beside an adapter: where it comes from, so that a second import still knows."""
_NOTES = Kind(form="text", most=4 * MB, why="a card, or a trainer's configuration")
_TOLD = Kind(form="json", most=64 * MB, why="a trainer's log of 100,000 steps")
FILES: Mapping[str, Kind] = {
    layout.WEIGHTS: bounds.WEIGHTS,
    MLX_WEIGHTS: bounds.WEIGHTS,
    layout.SETTINGS: bounds.SETTINGS,
    **layout.TOKENIZER,
    "added_tokens.json": bounds.SETTINGS,
    ORIGIN: bounds.SETTINGS,
    "README.md": _NOTES,
    "config.yml": _NOTES,
    "config.yaml": _NOTES,
    "axolotl_config.yml": _NOTES,
    "training_args.yaml": _NOTES,
    "llamaboard_config.yaml": _NOTES,
    "all_results.json": _TOLD,
    "trainer_state.json": _TOLD,
    "args.json": _TOLD,
    "sft_args.json": _TOLD,
}
"""What is looked at of a trainer's folder, by name, beside one GGUF; all else is left where it is."""
NEEDED = (layout.WEIGHTS, MLX_WEIGHTS, layout.SETTINGS)
"""A fault in one of these, or in a GGUF, stops the import; another file that is not of its kind is left out."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
LARGE, MOST_TIMES = 16 * MB, 50
"""Bytes of an entry of a zip from which it may not unpack to more than so many times its size."""
ENTRIES = 10_000
"""Files of a zip or a folder: a trainer's output with a thousand checkpoints."""
_NOTHING = "Nothing was imported."
_SAFELY = (
    "reading one can run code. On a machine that you trust with it, write it anew by safetensors' own library, and "
    'import what comes out: `python -c "import torch; from safetensors.torch import save_file; '
    "w = torch.load('adapter_model.bin', map_location='cpu', weights_only=True); "
    "save_file({k: v.contiguous() for k, v in w.items()}, 'adapter_model.safetensors')\"`."
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """An adapter's files on this disk, while they are read."""

    folder: Path
    names: tuple[str, ...]
    """Those that may be opened: of a kind on the list, whole and within bounds."""
    gguf: str | None
    """The one GGUF file, where there is no safetensors file."""
    hub: str | None
    """``hf://REPO@COMMIT``; None for what lay on a disk."""
    left_out: Mapping[str, str]
    """Why a file on the list was not looked at."""

    def path(self, name: str) -> Path | None:
        """Where a file lies; None where there is none that may be opened."""
        return self.folder / name if name in self.names else None


@contextlib.contextmanager
def opened(source: str, say: Say, folder: Path | None = None) -> Iterator[Source]:
    """The files of an adapter while the block lasts; a path starts from ``folder``. Raises what stops an import."""
    with tempfile.TemporaryDirectory() as scratch:
        if source.startswith("hf:"):
            found = HUB.fullmatch(source)
            if found is None:
                what = f"{contents.shown(source)} is not hf://NAMESPACE/NAME@COMMIT, with a commit of 40 digits"
                todo = "Write the commit, which `git ls-remote https://huggingface.co/NAMESPACE/NAME` prints."
                raise ConfigError([f"{what}: a branch or tag can move. {todo}"])
            yield _looked(_fetched(found[1], found[2], Path(scratch) / "hub", say), hub=source)
            return
        path = (folder or Path.cwd()) / Path(source).expanduser()
        if path.is_dir():
            yield _looked(path)
        elif path.suffix == ".zip" and path.is_file():
            yield _looked(_unzipped(path, Path(scratch) / "zip"))
        elif path.suffix == ".gguf" and path.is_file():
            yield _looked(path.parent, alone=path.name)
        else:
            raise ConfigError([_not_there(source, path)])


def _not_there(source: str, path: Path) -> str:
    shown = contents.shown(source)
    if path.suffix in PICKLES:
        return f"{shown} is a pickle, and {_SAFELY} {_NOTHING}"
    what = "is a file" if path.exists() else "is not there"
    return (
        f"{shown} {what}. Name the folder with the adapter's files, a .zip of it, a LoRA in a .gguf file, or "
        f"hf://NAMESPACE/NAME@COMMIT. {_NOTHING}"
    )


def _fetched(repo: str, commit: str, to: Path, say: Say) -> Path:
    say(Line(text=f"  downloading the adapter {repo} at {commit}"))
    request = requests.FetchAdapter(repo_id=repo, commit=commit, names=tuple(FILES), destination=to)
    requests.ask(request, address.of_environment(), say, to.with_suffix(".log"))
    return to


def _unzipped(file: Path, to: Path) -> Path:
    """The files on the list of the folder in a zip that holds the adapter; ``PreflightError`` for a faulty zip."""
    to.mkdir()
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > ENTRIES:
                raise PreflightError(f"{file} has more than {ENTRIES:,} entries. Zip the adapter's folder alone.")
            wrong = [f"{contents.shown(one.filename)} {why}" for one in entries if (why := _unfit(one))]
            if wrong:
                raise PreflightError(
                    f"{file} is not unpacked: {'; '.join(wrong[:5])}. Zip the adapter's folder anew: {_PLAIN}"
                )
            for one in _of_one_folder(entries, file):
                with archive.open(one) as packed, (to / PurePosixPath(one.filename).name).open("xb") as target:
                    _copy(packed, target, one)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise PreflightError(
            f"{file} cannot be unpacked: {error}. Zip the adapter's folder anew: {_PLAIN} {_NOTHING}"
        ) from None
    return to


_PLAIN = "plain files below one folder, without links, passwords or paths that lead outside."


def _unfit(entry: zipfile.ZipInfo) -> str:
    """Why an entry of a zip is not unpacked, nor anything beside it; empty for a plain file or folder."""
    parts = PurePosixPath(entry.filename).parts
    if entry.filename.startswith(("/", "\\")) or ".." in parts or "\\" in entry.filename or re.match(r"^[A-Za-z]:", entry.filename):  # fmt: skip  # noqa: E501
        return "leads outside"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a special file"
    if entry.flag_bits & 1:
        return "needs a password"
    known = kind_of(PurePosixPath(entry.filename).name)
    if known is not None and entry.file_size > known.most:
        return f"has {entry.file_size:,} bytes; at most {known.most:,} are read"
    if known is not None and entry.file_size > LARGE and entry.file_size > MOST_TIMES * entry.compress_size:
        return f"unpacks to more than {MOST_TIMES} times its size, which no weights do"
    return ""


def _of_one_folder(entries: list[zipfile.ZipInfo], file: Path) -> list[zipfile.ZipInfo]:
    """The entries on the list, all of the one folder that has an adapter's weights."""
    known = [one for one in entries if not one.is_dir() and kind_of(PurePosixPath(one.filename).name)]
    weights = (layout.WEIGHTS, MLX_WEIGHTS)
    folders = {str(PurePosixPath(one.filename).parent) for one in known if one.filename.endswith((*weights, ".gguf"))}
    if len(folders) > 1:
        top = [one for one in folders if all(one in (other, ".") or other.startswith(f"{one}/") for other in folders)]  # fmt: skip  # noqa: E501
        if not top:
            named = ", ".join(contents.shown(one) for one in sorted(folders)[:5])
            raise PreflightError(f"{file} holds several adapters ({named}). Zip the folder of one of them. {_NOTHING}")
        folders = set(top)
    chosen = next(iter(folders), None)
    found = [one for one in known if chosen is None or str(PurePosixPath(one.filename).parent) == chosen]
    seen: dict[str, zipfile.ZipInfo] = {}
    for one in found:
        if seen.setdefault(PurePosixPath(one.filename).name, one) is not one:
            raise PreflightError(f"{file} holds {contents.shown(one.filename)} twice. Zip the folder anew. {_NOTHING}")
    return found


def _copy(packed: "zipfile.ZipExtFile | object", target: object, entry: zipfile.ZipInfo) -> None:
    """As many bytes as the entry says, and no more, whatever unpacks from it."""
    left = entry.file_size
    while block := packed.read(min(bounded.BLOCK, left + 1)):  # type: ignore[union-attr]
        left -= len(block)
        if left < 0:
            raise zipfile.BadZipFile(f"{contents.shown(entry.filename)} unpacks to more bytes than it says")
        target.write(block)  # type: ignore[attr-defined]


def kind_of(name: str) -> Kind | None:
    """The kind of a file of a trainer's folder; None for one that is left where it is."""
    return bounds.GGUF if name.endswith(".gguf") else FILES.get(name)


def _looked(folder: Path, *, hub: str | None = None, alone: str | None = None) -> Source:
    """What of a folder may be opened; ``PreflightError`` where that is not an adapter."""
    entries = list(_entries(folder))
    sizes, left_out = dict[str, int](), dict[str, str]()
    for name, path in entries:
        kind = kind_of(name)
        if kind is None or (alone and name != alone):
            continue
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode):
            left_out[name] = "is a link or a special file"
        elif state.st_size > kind.most:
            left_out[name] = f"has {state.st_size:,} bytes; at most {kind.most:,} are read"
        elif fault := bounded.fault(path, kind):
            left_out[name] = fault
        else:
            sizes[name] = state.st_size
    needed = [f"{name} {why}" for name, why in left_out.items() if name in NEEDED or name.endswith(".gguf")]
    if needed:
        raise PreflightError(f"The adapter is not read: {'; '.join(needed)}. {_mend(needed[0])} {_NOTHING}")
    ggufs = sorted(name for name in sizes if name.endswith(".gguf"))
    weights = [name for name in (layout.WEIGHTS, MLX_WEIGHTS) if name in sizes]
    if not weights and len(ggufs) != 1:
        raise PreflightError(_no_weights(folder, [name for name, _ in entries], ggufs))
    return Source(
        folder=folder,
        names=tuple(sorted(sizes)),
        gguf=None if weights else ggufs[0],
        hub=hub,
        left_out=left_out,
    )


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    for number, path in enumerate(sorted(folder.iterdir())):
        if number == ENTRIES:
            raise PreflightError(f"{folder} holds more than {ENTRIES:,} files. Name the adapter's own folder.")
        yield path.name, path


def _mend(fault: str) -> str:
    if "link" in fault:
        return "Copy the folder so that it holds the files themselves: `cp -rL FROM TO`."
    return "Save the adapter again with model.save_pretrained(FOLDER), or fetch it again."


def _no_weights(folder: Path, names: list[str], ggufs: list[str]) -> str:
    """What to say of a folder in which there is not one adapter that can be read."""
    inside = sorted(path.parent.name for path in folder.glob(f"*/{layout.WEIGHTS}"))
    if len(ggufs) > 1:
        named = ", ".join(contents.shown(name) for name in ggufs[:5])
        return f"There are several GGUF files ({named}). Name the one that is the LoRA. {_NOTHING}"
    if pickles := [name for name in names if name.endswith(PICKLES) and name != "training_args.bin"]:
        shown = contents.shown(pickles[0])
        return f"The adapter's weights are a pickle ({shown}), and {_SAFELY} {_NOTHING}"
    if inside:
        named = ", ".join(contents.shown(one) for one in inside[:5])
        return f"There is no adapter in {folder}, but in folders below it ({named}). Name one of these. {_NOTHING}"
    if any(name.startswith("model") and name.endswith(".safetensors") for name in names):
        return (
            f"{folder} holds a whole model (model.safetensors), not an adapter. Only adapters are released here: name "
            f"the folder that holds {layout.WEIGHTS} as it was before it was merged. {_NOTHING}"
        )
    return (
        f"{folder} holds no {layout.WEIGHTS} (PEFT), no {MLX_WEIGHTS} (MLX) and no .gguf file. Name the folder that "
        f"the trainer saved the adapter to. {_NOTHING}"
    )


def copied(source: Source, names: tuple[str, ...], to: Path) -> None:
    """These files of a source, where it has them, in another folder."""
    for name in names:
        if path := source.path(name):
            shutil.copyfile(path, to / name)

"""An architecture that was not tried in llama.cpp is tried before training: each form, with random numbers as adapter.

What would otherwise be refused, or fail after hours of training, is known within minutes.
"""

import shutil
import tempfile
from pathlib import Path

from release.config.reading import load as load_config
from release.models import base as bases
from release.models import built_trainer, loading, spread, wheels
from release.models.exports import converter, making, merging, problems
from release.running import child
from release.running.place import Place
from release.values import layout
from release.values.events import Say, Stage

SMALL = 0.02
"""The size of the numbers in lora_B: an effect that is seen, over a model that still answers."""
TRIAL = ".trial-"


def tried(run: Path, base: bases.Base, place: Place, say: Say) -> None:
    """Make and compare each form that was not tried with this architecture; ``PreflightError`` says what cannot be."""
    kept, done = run.parent / making.KEPT, run / layout.EXPORTS
    config = load_config(run / "config.yaml")
    for form in problems.untried(config, base.folder):
        if (done / f"{form}.tried").exists():
            continue
        say(Stage(name="serving", note=f"{form} is tried before training"))
        for folder in (kept, done):
            folder.mkdir(exist_ok=True)
        wheel = wheels.found(converter.WHEEL, say)
        place.of(1, spread.to_merge(config.generation)).call(
            __name__,
            [run, base.folder, kept, form, wheel],
            reads=[base.folder, wheel.parent],
            writes=[run, kept],
            say=say,
            log=done / f"{form}.trial.log",
        )
        (done / f"{form}.tried").touch()


def _stage(arguments: list[str], say: Say) -> None:
    """``RUN BASE KEPT FORM WHEEL``."""
    run, base, *others = arguments
    loading.apart_from_others(load_config(Path(run) / "config.yaml").model, say)  # before any of it is loaded
    for left in Path(run).glob(f"{TRIAL}*"):  # of a run that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=run, prefix=TRIAL) as folder:
        _lay_out(Path(run), Path(base), Path(folder))
        making.stage([folder, base, *others], say)


def _lay_out(run: Path, base: Path, trial: Path) -> None:
    """A run folder with an adapter of random numbers."""
    import torch
    from peft import get_peft_model

    config = load_config(run / "config.yaml")
    (trial / "data").mkdir()
    for name in ("config.yaml", layout.DATA["golden"], layout.in_run(layout.ANSWER_SCHEMA)):
        shutil.copyfile(run / name, trial / name)
    torch.manual_seed(config.run.seed)
    model = merging.load(base, config, "unquantized")
    wrapped = get_peft_model(model, built_trainer.lora_config(config, model))
    for name, weights in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=SMALL)
    wrapped.save_pretrained(str(trial / "adapter"))
    built_trainer.write_tokenizer(base, run, trial / "adapter")


if __name__ == "__main__":
    child.main(_stage)

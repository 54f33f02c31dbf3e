"""Whether LoRA can be put on the modules that ``target_modules`` names, told before any weight is fetched."""

from collections import Counter
from collections.abc import Iterator, Sequence

from release.models.architecture import ALL_LINEAR, Architecture, called, ending, uncalled


def target_problems(built: Architecture, targets: Sequence[str]) -> list[str]:
    """Why LoRA cannot be put on these ``target_modules``: PEFT skips a name of nothing, and stops at some others."""
    wrong = list(_all_linear(built) if tuple(targets) == ALL_LINEAR else _faulty(built, targets))
    if not wrong:
        return []
    line = f"target_modules: [{', '.join(built.endings)}]"
    return [*wrong[:-1], f"{wrong[-1]} These are its own linear layers, all or some to be named: `{line}`."]


def _all_linear(built: Architecture) -> Iterator[str]:
    if built.fused_names:
        yield (
            "adapter.lora.target_modules is all-linear, which PEFT takes for the router and the fused parameters of "
            f"{built.name}'s experts too: LoRA of modules cannot adapt those, and with a dropout PEFT stops."
        )


def _faulty(built: Architecture, targets: Sequence[str]) -> Iterator[str]:
    """The names that carry no adapter, those of one kind in one line."""
    known = (*built.linear, *built.embeddings, *built.others, *([built.output] if built.output else []))
    said = "adapter.lora.target_modules names"
    experts = ", ".join(dict.fromkeys(ending(name) for name in built.fused))
    fused = [target for target in targets if ending(target) in built.fused_names]
    if fused:
        yield (
            f"{said} {', '.join(fused)}, which transformers and PEFT take for parts of one parameter that holds all "
            f"experts of a layer ({experts}), or for their router: LoRA of modules cannot adapt that."
        )
    left = [target for target in targets if target not in fused]
    if missing := uncalled(left, known):
        hint = f" Its experts are one parameter for a layer ({experts}), which it cannot adapt." if experts else ""
        yield (
            f"{said} {', '.join(missing)}, which no module of the base model is called: PEFT would skip it "
            f"silently.{hint}"
        )
    for target in left:
        yield from _not_adaptable(built, target)


def _not_adaptable(built: Architecture, target: str) -> Iterator[str]:
    """Why the modules of this name carry no adapter, where they do not."""
    said = f"adapter.lora.target_modules names {target}, which"
    if built.output and called(built.output, target):
        yield f"{said} makes the logits: TRL's loss cannot be taken over an adapter there. Take it out."
    classes = Counter(kind for name, kind in built.others.items() if called(name, target))
    if any(called(name, target) and built.unfit(name) for name in built.linear):
        classes[f"a part of {built.model_type}'s fused kernels"] += 1
    if classes:
        yield f"{said} is {', '.join(classes)}: PEFT's LoRA cannot adapt that."

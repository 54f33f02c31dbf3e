"""The names and settings of older configuration files: what they are called today, and what changes nothing."""

import re
from dataclasses import dataclass

from release.config.tree import ABSENT, Place, Tree, get, leaves, put, take
from release.values.errors import shown

RENAMED = {
    "run.logging_steps": "training.logging_steps",
    "run.save_steps": "training.save_steps",
    "checkpointing.save_steps": "training.save_steps",
    "artifacts.output_dir": "run.output_dir",
    "artifacts.metadata.base_model_id": "model.base_model_id",
    "data.chat_template_kwargs": "model.chat_template_kwargs",
    "training.chat_template_kwargs": "model.chat_template_kwargs",
    "generation.chat_template_kwargs": "model.chat_template_kwargs",
    "training.chat_template_path": "model.chat_template",
    "data.chat_template": "model.chat_template",
    "adapter.quantization.enabled": "adapter.quantization.load_in_4bit",
    "data.eval_file": "data.golden_file",
    "data.max_seq_length": "data.max_length",
    "data.licence": "data.license",
    "training.warmup_ratio": "training.warmup_steps",
    "training.gradient_checkpointing": "training.activation_checkpointing",
    "evaluation.generation.max_new_tokens": "generation.max_new_tokens",
    "publishing.metadata.base_model": "model.base_model_id",
    "publishing.metadata.language": "publishing.language",
    "publishing.metadata.license": "publishing.license",
    "publishing.metadata.tags": "publishing.tags",
}
WITHOUT_EFFECT = {
    "run.mixed_precision": "the device decides: bfloat16 on a GPU, float32 on a CPU",
    "run.eval_steps": "the golden file is judged once, after training; training.eval_steps evaluates tuning rows",
    "run.save_total_limit": "two checkpoints are kept while training, none after it",
    "run.report_to": "training.report_to asks for trackers, as a list; losses are written to the run folder anyway",
    "run.deterministic": "every run is deterministic",
    "run.dataloader_num_workers": "rows are loaded in the training process",
    "run.dataloader_pin_memory": "memory is pinned where there is a GPU",
    "model.model_config_path": "everything is read from this file and the base model",
    "model.use_flash_attention": "attention is PyTorch's own, or what model.attn_implementation names",
    "model.torch_dtype": "the device decides: bfloat16 on a GPU, float32 on a CPU",
    "model.device_map": "one card is used; generation.device_map: auto answers over all that are visible",
    "model.low_cpu_mem_usage": "transformers decides how weights are loaded",
    "adapter.adapter_config_path": "everything is read from this file",
    "adapter.lora.task_type": "every adapter is for a causal language model",
    "data.packing": "rows are never packed, so that a step learns from as many as its batch says; "
    "training.padding_free leaves out the padding",
    "data.num_proc": "data is prepared in one process",
    "data.preprocessing_num_workers": "data is prepared in one process",
    "data.system_prompt": "each row has its own system message",
    "training.effective_batch_size": "it follows from per_device_train_batch_size and gradient_accumulation_steps",
    "training.per_device_eval_batch_size": "generation.batch_size is used for the answers that are judged",
    "training.gradient_checkpointing_kwargs": "checkpointing is always the non-reentrant kind",
    "training.mixed_precision": "the device decides: bfloat16 on a GPU, float32 on a CPU",
    "training.early_stopping": "training.early_stopping_patience says when it ends, by tuning rows",
    "generation.do_sample": "answers that are judged are decoded greedily, so that a verdict can be repeated",
    "evaluation.generation": "answers that are judged are decoded greedily, so that a verdict can be repeated",
    "evaluation.metrics": "the gates decide what is measured",
    "evaluation": "the golden file is judged once, after training",
    "checkpointing": "checkpoints serve only to go on after a stop; the last step's adapter is judged",
    "artifacts": "a package always holds the same files; its version is publishing.tag",
    "publishing.metadata.task": "every adapter is published for text-generation",
    "publishing.metadata": "the model card is made from the record",
    "monitoring": "training.report_to asks for trackers, as a list; losses are written to the run folder anyway",
    "hardware": "the machine is looked at before each run",
    "cost_estimate": "time and memory are estimated before each run",
    "test_config": "it describes the file, not the run",
    "test_purpose": "it describes the file, not the run",
    "expected_duration": "it describes the file, not the run",
}


MODULES = "adapter.lora.target_modules"


def refers_elsewhere(modules: object) -> bool:
    """Whether a list of modules only says that it is the same as another one, as in notes on a fallback."""
    one = modules[0] if isinstance(modules, list) and len(modules) == 1 else None
    return isinstance(one, str) and re.match(r"(?:the )?same as \S", one, re.IGNORECASE) is not None


@dataclass(frozen=True, kw_only=True)
class Names:
    places: dict[str, str]
    """Today's key → where its old name is."""
    idle: Tree
    """The settings without effect, and their values."""
    notices: tuple[str, ...]
    problems: tuple[str, ...]


def todays_names(tree: Tree, place: Place) -> Names:
    """Give old settings today's names, in ``tree`` itself, and take out those that change nothing."""
    places: dict[str, str] = {}
    idle: Tree = {}
    notices, problems = [], []
    for old, new in RENAMED.items():
        value, present = take(tree, old), get(tree, new)
        if value is ABSENT:
            continue
        if present is None:
            put(tree, new, value)
            places[new] = place(old)
        elif (value, type(value)) != (present, type(present)):
            problems.append(
                f"{place(old)} is {shown(value)}, but {places.get(new) or place(new)} is {shown(present)}. "
                f"Both set {new}. Keep one of them."
            )
    for key, why in sorted(WITHOUT_EFFECT.items(), key=lambda item: -item[0].count(".")):
        value = take(tree, key)
        if value is not ABSENT and value != {}:
            idle[key] = value
            inside = ", ".join(leaves(value)) if isinstance(value, dict) else ""
            notices.append(f"{place(key)}{f' ({inside})' if inside else ''} has no effect: {why}.")
    if refers_elsewhere(get(tree, MODULES)):
        said = shown(take(tree, MODULES))
        notices.append(f"{place(MODULES)} is {said}, which names no module: the default ones are adapted.")
    return Names(places=places, idle=idle, notices=tuple(notices), problems=tuple(problems))

"""The baseline: what a plain script does with TRL, peft and bitsandbytes at a configuration's settings.

usage: PYTHONPATH=. python -P bench/plain.py train|unsloth|generate CONFIG BASE STEPS_OR_ROWS [ADAPTER]
Prints one JSON line: tokens, seconds, peak_memory_bytes.
"""

import json
import os
import resource
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}

if sys.argv[1:2] == ["unsloth"]:
    import unsloth  # before all that it patches

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

from release.config import reading as configs
from release.config.settings import Config

CUDA = torch.cuda.is_available()
DTYPE = torch.bfloat16 if CUDA else torch.float32


def load(base: str, config: Config) -> tuple[torch.nn.Module, object]:
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=DTYPE,
    )
    model = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=DTYPE,
        quantization_config=quantization,
        device_map={"": 0} if CUDA else None,
        attn_implementation=config.model.attn_implementation,
    )
    return model, AutoTokenizer.from_pretrained(base)


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def lora(config: Config) -> dict[str, Any]:
    """LoRA's settings by PEFT's names."""
    said = asdict(config.adapter.lora)
    return {"lora_alpha": said["alpha"], "lora_dropout": said["dropout"], "r": said["r"]} | {
        "target_modules": list(said["target_modules"])
    }


def load_by_unsloth(base: str, config: Config) -> tuple[torch.nn.Module, object]:
    """Base and adapter as Unsloth's own notebooks load them."""
    longest = config.data.max_length
    model, tokenizer = unsloth.FastLanguageModel.from_pretrained(base, max_seq_length=longest, load_in_4bit=True)
    return unsloth.FastLanguageModel.get_peft_model(
        model, **lora(config), use_gradient_checkpointing="unsloth", random_state=config.run.seed
    ), tokenizer


def train(config: Config, base: str, steps: int, *, by_unsloth: bool) -> tuple[int, float]:
    model, tokenizer = (load_by_unsloth if by_unsloth else load)(base, config)
    data = [
        {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}
        for row in rows(config.path.parent / config.data.train_file)
    ]
    training = config.training
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir="/tmp/plain",  # noqa: S108  nothing is saved there
            use_cpu=not CUDA,
            bf16=CUDA,
            # TRL counts on rows that fit where they lie side by side
            max_length=None if training.padding_free else config.data.max_length,
            padding_free=bool(training.padding_free),
            use_liger_kernel=bool(training.use_liger_kernel),
            max_steps=steps,
            learning_rate=training.learning_rate,
            lr_scheduler_type=training.lr_scheduler_type,
            warmup_steps=training.warmup_steps,
            per_device_train_batch_size=training.per_device_train_batch_size,
            gradient_accumulation_steps=training.gradient_accumulation_steps,
            optim=training.optim,
            seed=config.run.seed,
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(data),
        processing_class=tokenizer,
        peft_config=None if by_unsloth else LoraConfig(**lora(config), task_type="CAUSAL_LM"),
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    return int([entry["num_tokens"] for entry in trainer.state.log_history if "num_tokens" in entry][-1]), seconds


def generate(config: Config, base: str, count: int, adapter: str) -> tuple[int, float]:
    model, tokenizer = load(base, config)
    model = PeftModel.from_pretrained(model, adapter).eval()
    made, started = 0, time.perf_counter()
    for row in rows(config.path.parent / config.data.golden_file)[:count]:
        prompt = tokenizer.apply_chat_template(
            row["messages"][:-1], add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(model.device)
        with torch.inference_mode():
            whole = model.generate(**prompt, max_new_tokens=config.generation.max_new_tokens, do_sample=False)
        made += whole.shape[1] - prompt["input_ids"].shape[1]
    return made, time.perf_counter() - started


def main() -> None:
    what, config_path, base, count, *adapter = sys.argv[1:]
    config = configs.load(Path(config_path))
    tokens, seconds = (
        generate(config, base, int(count), adapter[0])
        if what == "generate"
        else train(config, base, int(count), by_unsloth=what == "unsloth")
    )
    peak = torch.cuda.max_memory_allocated() if CUDA else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"tokens": tokens, "seconds": seconds, "peak_memory_bytes": peak}))


if __name__ == "__main__":
    main()

"""What a configuration file can say: each setting once, with its type, rule, default and the words of its messages.

The text under a setting is its rule, as messages quote it ("expected a whole number ..."); choices without a text are
their own rule. Examples are valid values beside the default; a message suggests to write the first.
``python -m release.config.schema`` writes schemas/config.schema.json, for editors and for messages, from this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasPath, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from gates.table import GATES
from release.config.rules import (
    AS_WRITTEN,
    DISTINCT,
    BroughtAdapter,
    Endpoint,
    File,
    Given,
    Names,
    OrAlone,
    RowFile,
    Text,
    Url,
    matches,
    no_key_of,
)
from release.values.layout import TRAINED

EMBEDDED_BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
FIELDS = (
    *("messages", "prompt", "completion", "gold", "conversations", "system", "instruction", "input", "output"),
    *(
        "history",
        "query",
        "answer",
        "contents",
        "chosen",
        "role",
        "content",
        "rating",
        "id",
        "documents",
        "answerable",
        "support",
        "citation_required",
        "tags",
    ),
)
CHECKS = (
    *("roles", "json", "schema", "rules", "refusal", "labels", "citations", "length", "end_token", "template", "ids"),
    *("prompts", "questions", "leakage", "near_duplicates", "placeholders", "control_characters", "script", "secrets"),
    *("personal_data", "balance", "support", "documents", "given_away", "copies"),
    *("special_tokens", "earlier_answers", "tuning_leakage"),
)
MEASURES = ("eval_loss", *(f"eval_{name}" for name in GATES))
"""What an evaluation measures: the first over all tuning rows, the others over answers to some of them."""
OF_THE_TEMPLATE = (  # the parameters of transformers' apply_chat_template, and what it gives a template itself
    *("self", "kwargs", "messages", "conversations", "strftime_now", "raise_exception", "conversation", "tools"),
    *("documents", "chat_template", "add_generation_prompt", "continue_final_message", "tokenize"),
    *("sanitize_control_tokens", "padding", "truncation", "max_length", "return_tensors", "return_dict"),
    *("return_assistant_tokens_mask", "tokenizer_kwargs"),
)
_DIGITS = "0123456789abcdef"
_COMMIT = (_DIGITS * 3)[:40]
_DIGEST = f"sha256:{_DIGITS * 4}"


Precision = Literal["nf4", "unquantized"]
"""Of the base's weights under an adapter."""
Attention = Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3"]
"""How a base computes attention, as transformers names it."""
DeviceMap = Literal["auto", "balanced", "balanced_low_0", "sequential"]
"""How the layers of a base are put on several cards, as transformers names it."""
Reporter = Literal["tensorboard", "trackio", "wandb", "mlflow"]
Share = Annotated[float, Field(ge=0, lt=1)]
Sum = Annotated[str, matches(r"^(?=.*[1-9])(0|[1-9][0-9]{0,8})(\.[0-9]{1,2})? [A-Z]{3}$")]
"""An amount above 0 and its currency."""
Steps = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True)
class Run:
    name: Annotated[str, matches("^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$"), Field(examples=["my-adapter", "other"])]
    """a name for the run: letters, digits, '.', '_' and '-'"""
    output_dir: Annotated[
        File,
        Field(
            default_factory=lambda known: f"runs/{known['name']}",
            validate_default=True,
            examples=["runs/my-adapter", "elsewhere"],
        ),
    ]
    """a folder for what the run makes, relative to this file"""
    seed: Annotated[int, Field(ge=0, le=4294967295, examples=[7])] = 42
    """a whole number from 0 to 4294967295"""
    threads: Annotated[int | None, Field(ge=1, le=1024, examples=[2, 3])] = None
    """a whole number of compute threads from 1 to 1024, which the processes of a stage share, or null for every core"""


@dataclass(frozen=True, kw_only=True)
class Model:
    base_model_id: Annotated[
        str,
        matches("^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"),
        Field(examples=["HuggingFaceTB/SmolLM2-360M-Instruct", "Qwen/Qwen3-0.6B"]),
    ]
    """a base model's id on the Hub, namespace/name"""
    source: Literal["hub", "embedded"] = "hub"
    """'hub', or 'embedded' for the base model that comes with this tool"""
    revision: Annotated[
        Given[Annotated[str, matches("^[0-9a-f]{40}$")]],
        Field(examples=[_COMMIT, "89abcdef0123456789abcdef0123456789abcdef"]),
    ] = None
    """a full commit of the base model, 40 lower-case hex digits in quotes (a branch or tag can move)"""
    trust_remote_code: bool = False
    """true or false: whether to run Python code from the base model's repository"""
    attn_implementation: Annotated[Given[Attention], Field(examples=["sdpa", "flash_attention_2"])] = None
    """'eager', 'sdpa', 'flash_attention_2' or 'flash_attention_3': how transformers computes attention, in training and
    in answering (without it PyTorch's own, sdpa, where the base's class has it)"""
    chat_template: Annotated[Given[File], Field(examples=["chat_template.jinja", "other.jinja"])] = None
    """a Jinja file with the chat template to use instead of the base model's own, relative to this file"""
    chat_template_kwargs: Annotated[
        Mapping[str, object],
        no_key_of(OF_THE_TEMPLATE, "^[A-Za-z_][A-Za-z0-9_]*$"),
        Field(examples=[{"enable_thinking": False}, {"reasoning_effort": "low"}]),
    ] = field(default_factory=dict)
    """a section of arguments for the chat template, as transformers' apply_chat_template takes them; their names are
    not those of its other parameters, such as tools or truncation"""


@dataclass(frozen=True, kw_only=True)
class Lora:
    r: Annotated[int, Field(ge=1, le=1024, examples=[8])] = 16
    """a whole number from 1 to 1024, the rank"""
    alpha: Annotated[int, Field(ge=1, le=4096, examples=[16])] = 32
    """a whole number from 1 to 4096, the scale"""
    dropout: Annotated[Share, AS_WRITTEN, Field(examples=[0])] = 0.05
    """a number from 0 to below 1"""
    target_modules: Annotated[
        tuple[Annotated[str, matches("^[A-Za-z0-9_.]+$")], ...],
        Field(min_length=1),
        DISTINCT,
        OrAlone(Literal["all-linear"]),
        Field(examples=["all-linear"]),
    ] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """'all-linear', or a list of different module names"""
    bias: Literal["none", "all", "lora_only"] = "none"


@dataclass(frozen=True, kw_only=True)
class Quantization:
    load_in_4bit: bool = True
    """true or false: true for qlora, false for lora"""
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    bnb_4bit_use_double_quant: bool = True
    bnb_4bit_compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"


BelowHere = Annotated[str, matches(r"^(?!/)(?!.*(^|/)\.\.?(/|$))[^\\:]{1,200}$")]
"""The path of a file below the configuration's folder."""


@dataclass(frozen=True, kw_only=True)
class ReproduceWith:
    """How an adapter was trained elsewhere: what its own trainer is started with, to train it again."""

    command: Annotated[
        tuple[Text, ...],
        Field(
            min_length=1,
            examples=[
                ["python", "train.py", "{base}", "{output}"],
                ["axolotl", "train", "a.yml", "--output-dir={output}"],
            ],
        ),
    ]
    """a list of the words of its trainer's command: {output} is the empty folder that it leaves the adapter in, {base}
    the base model's folder, {train} the file of training rows"""
    image: Annotated[
        Given[Annotated[str, matches("^[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}$")]],
        Field(examples=[f"registry.example/trainer@{_DIGEST}", f"registry.example/other@{_DIGEST}"]),
    ] = None
    """the image that the command runs in, by its digest, name@sha256:..."""
    lock: Annotated[Given[BelowHere], Field(examples=["requirements.txt", "locks/trainer.txt"])] = None
    """a requirements file below this file's folder with a hash for every package, from which an environment for the
    command is made where no image is used"""
    files: Annotated[tuple[BelowHere, ...], DISTINCT, Field(examples=[["train.py"]])] = ()
    """a list of different files below this file's folder, that the command finds where it runs"""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    method: Literal["qlora", "lora", "imported"] = "qlora"
    """'qlora' (4-bit base), 'lora' (unquantized base), or 'imported' (trained elsewhere: nothing is trained)"""
    source: Annotated[
        Given[BroughtAdapter],
        Field(examples=["adapter", f"hf://me/adapter@{_COMMIT}"]),
    ] = None
    """where an imported adapter is: a folder, a .zip or a LoRA in .gguf, relative to this file, or
    hf://NAMESPACE/NAME@COMMIT"""
    named_base: Annotated[Given[Text], Field(examples=["unsloth/Qwen3-0.6B-unsloth-bnb-4bit", "local-path"])] = None
    """the base as an imported adapter names it, where that is another name of the same weights as
    model.base_model_id; local-path for a path"""
    reproduce_with: Given[ReproduceWith] = None
    """a section that says how an imported adapter was trained: command, image or lock, and files"""
    lora: Lora = field(default_factory=Lora)
    """a section with the LoRA settings"""
    quantization: Quantization = field(default_factory=Quantization)
    """a section with the bitsandbytes settings"""


@dataclass(frozen=True, kw_only=True)
class Data:
    train_file: Annotated[
        Given[RowFile], Field(examples=["data/train.jsonl", f"hf://datasets/me/rows@{_COMMIT}/train.jsonl"])
    ] = None
    """a JSONL file to train on, relative to this file, or hf://datasets/NAMESPACE/NAME@COMMIT/PATH"""
    golden_file: Annotated[
        RowFile, Field(examples=["data/golden.jsonl", f"hf://datasets/me/rows@{_COMMIT}/golden.jsonl"])
    ]
    """a JSONL file to judge by, relative to this file, or hf://datasets/NAMESPACE/NAME@COMMIT/PATH"""
    tuning_file: Annotated[
        Given[RowFile], Field(examples=["data/tuning.jsonl", f"hf://datasets/me/rows@{_COMMIT}/tuning.jsonl"])
    ] = None
    """a JSONL file of rows to evaluate by while it trains, relative to this file, or
    hf://datasets/NAMESPACE/NAME@COMMIT/PATH"""
    tuning_share: Annotated[Given[Annotated[float, Field(gt=0, le=0.5)]], AS_WRITTEN, Field(examples=[0.1, 0.2])] = None
    """a share above 0 and up to 0.5 of the training rows, kept apart to evaluate by while it trains"""
    max_length: Annotated[int, Field(ge=16, le=1048576, examples=[1024])] = 2048
    """a whole number of tokens from 16 to 1048576, the longest row"""
    license: Annotated[Given[Text], Field(examples=["CC0-1.0", "Apache-2.0"])] = None
    """the data's licence as an SPDX name"""
    source: Annotated[Given[Text], Field(examples=["Written by us.", "Elsewhere."])] = None
    """a sentence on where the data comes from"""
    format: Annotated[
        Literal[
            "auto",
            "chat_jsonl",
            "jsonl",
            "canonical",
            "chat",
            "prompt_completion",
            "sharegpt",
            "alpaca",
            "gemini",
            "preference",
            "archive",
        ],
        Field(examples=["chat"]),
    ] = "auto"
    """'auto', or the rows' format: canonical, chat, prompt_completion, sharegpt, alpaca, gemini, preference or archive
    ('chat_jsonl' and 'jsonl' are old names for auto)"""
    learn: Annotated[Given[Literal["last", "all"]], Field(examples=["all", "last"])] = None
    """'last' or 'all': which of a conversation's answers are learned (without it the last)"""
    fields: Annotated[
        Mapping[str, Text],
        Names(FIELDS, "the key of a row that holds its {}; dots lead inside", ("my_{}", "row.{}")),
    ] = field(default_factory=dict)
    """a section that says which key of a row holds each field"""
    checks: Annotated[Mapping[str, Literal["error", "warning"]], Names(CHECKS)] = field(default_factory=dict)
    """a section that says which checks of the data stop a run (error) and which only warn"""


@dataclass(frozen=True, kw_only=True)
class OnDivergence:
    """What follows when the loss or the gradients of several steps are far above those before (docs/training.md)."""

    action: Literal["warn", "stop", "rollback"] = "warn"
    """'warn' (a line, and training goes on), 'stop', or 'rollback' (back to the checkpoint before, and on from there
    with a lower learning rate)"""
    window: Annotated[int, Field(ge=8, le=1000, examples=[64])] = 32
    """a whole number of steps from 8 to 1000, whose median and spread a step is compared with"""
    threshold: Annotated[float, Field(ge=3, le=1000, examples=[12]), AS_WRITTEN] = 8
    """a number from 3 to 1000: so many times the spread above the median is over the limit"""
    patience: Annotated[Steps, Field(examples=[1])] = 3
    """a whole number from 1: so many steps in a row must be over the limit"""
    learning_rate_factor: Annotated[float, Field(gt=0, le=1, examples=[0.3]), AS_WRITTEN] = 0.5
    """a number above 0 and up to 1: what the learning rate is multiplied by, each time that training goes back"""
    warmup_steps: Annotated[int, Field(ge=0, le=10000, examples=[20])] = 0
    """a whole number from 0 to 10000: in so many steps the learning rate rises to its value again"""
    max_rollbacks: Annotated[int, Field(ge=1, le=10, examples=[1])] = 2
    """a whole number from 1 to 10: how often training goes back before it stops"""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Names and defaults as in transformers, but for the QLoRA choices of Dettmers et al. (2023) and their users."""

    num_train_epochs: Annotated[float, Field(gt=0, le=1000, examples=[0.5]), AS_WRITTEN] = 3
    """a number above 0 and up to 1000"""
    max_steps: Annotated[Literal[-1] | Steps, Field(examples=[50])] = -1
    """-1 for no limit, or a whole number from 1"""
    learning_rate: Annotated[float, Field(gt=0, le=1, examples=[0.001]), AS_WRITTEN] = 2e-4
    """a number above 0 and up to 1"""
    lr_scheduler_type: Literal[
        "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"
    ] = "cosine"
    warmup_steps: Annotated[Share | Steps, AS_WRITTEN, Field(examples=[10])] = 0.03
    """a share of the steps from 0 to below 1, or a whole number of steps from 1"""
    weight_decay: Annotated[float, Field(ge=0, le=1, examples=[0.01]), AS_WRITTEN] = 0.0
    """a number from 0 to 1"""
    max_grad_norm: Annotated[float, Field(gt=0, examples=[0.3]), AS_WRITTEN] = 1.0
    """a number above 0"""
    per_device_train_batch_size: Annotated[int, Field(ge=1, le=4096, examples=[8])] = 1
    """a whole number of rows from 1 to 4096"""
    padding_free: Annotated[Given[bool], Field(examples=[True, False])] = None
    """true or false: whether the rows of a batch lie side by side in one sequence, each apart from the others, and not
    padded to the longest"""
    use_liger_kernel: Annotated[Given[bool], Field(examples=[True, False])] = None
    """true or false: whether Liger's fused kernels train (a card alone): rotary positions, norms, MLPs, and a cross
    entropy that keeps no logits"""
    gradient_accumulation_steps: Annotated[int, Field(ge=1, le=65536, examples=[2])] = 16
    """a whole number from 1 to 65536"""
    processes: Annotated[Given[Annotated[int, Field(ge=2, le=64)]], Field(examples=[2, 4])] = None
    """a whole number from 2 to 64: so many processes train together, each with batches, and a card, of its own"""
    fsdp: Annotated[Given[bool], Field(examples=[True, False])] = None
    """true or false: whether each of these processes holds a share of the base's weights, for a base beyond one card
    (FSDP2)"""
    optim: Literal[
        "paged_adamw_8bit", "adamw_8bit", "adamw_bnb_8bit", "paged_adamw_32bit", "adamw_torch", "adamw_torch_fused"
    ] = "paged_adamw_8bit"
    adam_beta1: Annotated[Share, AS_WRITTEN, Field(examples=[0.8])] = 0.9
    """a number from 0 to below 1"""
    adam_beta2: Annotated[Share, AS_WRITTEN, Field(examples=[0.95])] = 0.999
    """a number from 0 to below 1"""
    adam_epsilon: Annotated[float, Field(gt=0, le=0.01, examples=[1e-6]), AS_WRITTEN] = 1e-8
    """a number above 0 and up to 0.01"""
    over: Annotated[
        Literal["auto"] | Annotated[tuple[Precision, ...], Field(min_length=1), DISTINCT],
        Field(examples=[["nf4", "unquantized"]]),
    ] = "auto"
    """'auto' (the base precision of every required form of serving), or a list of nf4 and unquantized: under the
    adapter the frozen base's weights alternate between them from step to step"""
    activation_checkpointing: Annotated[bool | Literal["auto"], Field(examples=[True])] = "auto"
    """true, false or 'auto'"""
    save_steps: Annotated[Annotated[float, Field(gt=0, lt=1)] | Steps, AS_WRITTEN, Field(examples=[100])] = 0.25
    """a share of the steps above 0 and below 1, or a whole number of steps from 1"""
    save_minutes: Annotated[Given[Annotated[float, Field(gt=0, le=1440), AS_WRITTEN]], Field(examples=[5, 30])] = None
    """a number of minutes above 0 and up to 1440: a step after which the last checkpoint is older makes one too"""
    logging_steps: Annotated[Steps, Field(examples=[1])] = 10
    """a whole number of steps from 1"""
    report_to: Annotated[
        Given[Annotated[tuple[Reporter, ...], Field(min_length=1), DISTINCT]],
        Field(examples=[["tensorboard"], ["trackio", "wandb"]]),
    ] = None
    """a list of tensorboard, trackio, wandb and mlflow, that get what is logged as files in the run folder"""
    eval_steps: Annotated[Given[Steps], Field(examples=[20, 50])] = None
    """a whole number of steps from 1: after each so many, and after the last, the tuning rows are evaluated"""
    eval_generate: Annotated[Given[Annotated[int, Field(ge=1, le=1000)]], Field(examples=[8, 16])] = None
    """a whole number from 1 to 1000: of so many tuning rows an evaluation also generates and judges the answers"""
    load_best_model_at_end: Annotated[Given[bool], Field(examples=[True, False])] = None
    """true or false: whether the adapter of the best evaluation is kept, and not that of the last step"""
    metric_for_best_model: Annotated[
        Given[Annotated[str, matches(f"^({'|'.join(MEASURES)})$")]], Field(examples=["eval_loss", "eval_json_parse"])
    ] = None
    """eval_loss, or eval_ and a gate's name: what says which evaluation is the best (without it eval_loss)"""
    early_stopping_patience: Annotated[Given[Steps], Field(examples=[2, 3])] = None
    """a whole number from 1: training ends after so many evaluations in a row that are not better than the best"""
    on_divergence: Given[OnDivergence] = None
    """a section that says what follows when the loss or the gradients are far above those of the steps before"""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How the answers that are judged are made: always greedily."""

    max_new_tokens: Annotated[int, Field(ge=1, le=32768, examples=[128])] = 512
    """a whole number of tokens from 1 to 32768"""
    batch_size: Annotated[int, Field(ge=1, le=4096, examples=[4])] = 8
    """a whole number of questions from 1 to 4096"""
    batches: Literal["by_length", "in_order"] = "by_length"
    """'by_length' (questions of about one length are answered together, the longest first) or 'in_order' (as the golden
    set lists them), of transformers"""
    processes: Annotated[Given[Annotated[int, Field(ge=2, le=64)]], Field(examples=[2, 4])] = None
    """a whole number from 2 to 64: so many processes share the batches, of transformers, each with a card of its own;
    as many as there are cards where there are fewer"""
    device_map: Annotated[Given[DeviceMap], Field(examples=["auto", "balanced"])] = None
    """'auto', 'balanced', 'balanced_low_0' or 'sequential': how transformers puts the base's layers on all cards that
    are visible, where one card cannot hold it (without it one card holds all of it)"""


@dataclass(frozen=True, kw_only=True)
class Form:
    """A section that says how a released adapter is loaded and asked; each form is judged by itself."""

    engine: Literal["transformers", "llama.cpp", "vllm", "openai"] = "transformers"
    base: Literal["trained", "nf4", "unquantized"] = "trained"
    """'trained' (as in training), 'nf4' (as bitsandbytes quantizes the base) or 'unquantized': the weights that the
    adapter lies over"""
    merged: bool = False
    """true or false: whether the adapter is added to the base's weights, as one model of its own"""
    file_type: Literal["F32", "F16", "Q8_0", "Q4_K_M"] = "F16"
    """'F32', 'F16', 'Q8_0' or 'Q4_K_M', of the model file that llama.cpp loads: the base's, or the merged one"""
    constraint: Literal["none", "json_schema"] = "none"
    """'none', or 'json_schema' to let the engine write nothing but what the answer schema allows"""
    required: bool = True
    """true or false: whether nothing is published unless every required gate passes in this form too"""
    max_kl: Annotated[float | None, Field(gt=0, examples=[0.01, 0.1]), AS_WRITTEN] = None
    """a number of nats above 0, or null for no limit: the most that the probabilities of llama.cpp's file may differ in
    the mean (Kullback-Leibler) from those of the weights that it was made of"""
    tensor_parallel_size: Annotated[Given[Annotated[int, Field(ge=2, le=64)]], Field(examples=[2, 4])] = None
    """a whole number of cards from 2 to 64 that vLLM shares each layer out over, for a base beyond one card"""
    url: Annotated[Given[Url], Field(examples=["http://127.0.0.1:8000/v1", "https://models.example/v1"])] = None
    """an address that speaks OpenAI's API, up to and with /v1; its key is in OPENAI_API_KEY, never here"""
    model: Annotated[Given[Text], Field(examples=["my-adapter", "other"])] = None
    """the name that the address gives the model to be judged"""
    base_model: Annotated[Given[Text], Field(examples=["my-base", "other-base"])] = None
    """the name that the address gives the base without the adapter, to see that the adapter has an effect"""


@dataclass(frozen=True, kw_only=True)
class Container:
    """Where training and answering run; none of it changes what they compute."""

    use: Literal["auto", "require", "never"] = "auto"
    """'auto' (where a Docker engine answers), 'require' or 'never'"""
    image: Annotated[
        Annotated[str, matches("^([a-z0-9][a-z0-9._:/-]*@)?sha256:[0-9a-f]{64}$")] | None,
        Field(examples=[f"registry.example/adapter-release@{_DIGEST}", _DIGEST]),
    ] = None
    """an image by its digest, name@sha256:..., or null to build the one of this checkout"""
    gpus: Literal["auto", "all", "none"] = "auto"
    """'auto' (this machine's GPU, if it has one), 'all' (the same, and stop where there is none) or 'none'; used is the
    first, or the first that CUDA_VISIBLE_DEVICES names, and more only where a setting asks for several"""
    memory_gib: Annotated[float | None, Field(gt=0, examples=[16, 0.5]), AS_WRITTEN] = None
    """a number of GiB above 0 that a stage may use, or null for no limit"""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What all attempts under one output folder may cost together."""

    limit: Annotated[float | None, Field(gt=0, examples=[25, 7.5]), AS_WRITTEN] = None
    """a sum above 0, or null for no limit"""
    currency: Annotated[str, matches("^[A-Z]{3}$"), Field(examples=["EUR"])] = "USD"
    """a currency code of three capital letters"""
    price_per_hour: Annotated[float | None, Field(ge=0, examples=[2.5, 0]), AS_WRITTEN] = None
    """what an hour of the machine costs, a number from 0, or null for its price in prices.json; each of the tries that
    are trained side by side is counted with it"""
    hours: Annotated[Given[Annotated[float, Field(gt=0)]], AS_WRITTEN, Field(examples=[12, 0.5])] = None
    """a number of hours above 0 that training may take"""
    tries: Annotated[Given[Annotated[int, Field(ge=1, le=100)]], Field(examples=[3, 5])] = None
    """a whole number from 1 to 100: how many of tries are made at most, the configuration as written among them"""
    alerts: Annotated[
        tuple[Annotated[float, Field(gt=0, le=100), AS_WRITTEN] | Sum, ...],
        DISTINCT,
        Field(examples=[[80, "20 USD"]]),
    ] = (20, 50, 100)
    """a list of different percentages of the limit, above 0 and up to 100, and sums of money such as 20 USD"""


Change = Annotated[
    Mapping[Literal["training", "adapter"], Annotated[Mapping[str, object], Field(min_length=1)]], Field(min_length=1)
]
"""What a try changes of two sections."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """Changes that optuna suggests, each from the losses of the tuning rows in the tries before."""

    space: Annotated[
        Change,
        Field(
            examples=[
                {"training": {"learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}}},
                {"adapter": {"lora": {"r": [8, 16, 32]}}},
            ]
        ),
    ]
    """a section of the settings of training and adapter that are searched: each low and high (log: true spreads by
    powers, whole numbers stay whole) or a list of values"""
    n_trials: Annotated[int, Field(ge=2, le=100, examples=[12, 20])]
    """a whole number from 2 to 100: how many are made at most, the configuration as written among them"""
    sampler: Literal["tpe", "random"] = "tpe"
    seed: Annotated[int, Field(ge=0, lt=2**32, examples=[7])] = 0
    """a whole number from 0: the same with the same results gives the same suggestions"""
    n_startup_trials: Annotated[int, Field(ge=1, le=100, examples=[3])] = 5
    """a whole number from 1 to 100: before so many are made, values are drawn at random, and none is pruned"""
    pruner: Literal["median", "none"] = "median"
    """'median' (a try ends after an evaluation whose best loss so far is above the median of the tries before) or
    'none'"""


@dataclass(frozen=True, kw_only=True)
class Tries:
    """Which trainings are tried until one passes on the tuning rows, and which seeds beside it."""

    changes: Annotated[
        Given[Annotated[tuple[Change, ...], Field(min_length=1, max_length=99)]],
        Field(
            examples=[
                [{"training": {"learning_rate": 0.0001}}, {"adapter": {"lora": {"r": 32, "alpha": 64}}}],
                [{"training": {"num_train_epochs": 2}}],
            ]
        ),
    ] = None
    """a list of changes of training and adapter, tried in this order after the configuration as written; each is a
    change of that, not of the one before"""
    ladder: Annotated[Given[Literal["usual", "learning_rates"]], Field(examples=["usual", "learning_rates"])] = None
    """'usual' (other learning rates, ranks and epochs, then LoRA over the unquantized base) or 'learning_rates'
    (three of them): changes that this program lists"""
    search: Given[Search] = None
    """a section of a search with optuna, which suggests each change from the tries before"""
    seeds: Annotated[Given[Annotated[int, Field(ge=2, le=20)]], Field(examples=[3, 5])] = None
    """a whole number of seeds from 2 to 20: run.seed is the one to publish, and those after it are trained and judged
    on the tuning rows beside it"""
    every_seed_passes: Annotated[Given[bool], Field(examples=[True, False])] = None
    """true or false: whether nothing is published unless the worst seed passes on the tuning rows too"""
    side_by_side: Annotated[Given[Annotated[int, Field(ge=2, le=64)]], Field(examples=[2, 4])] = None
    """a whole number from 2: so many tries are trained at once, each with a card of its own, on a processor with its
    share of run.threads; which one is judged is decided by their order all the same"""


@dataclass(frozen=True, kw_only=True)
class Publishing:
    hf_repo: Annotated[
        str,
        matches(
            r"^(?!.*(--|\.\.))(?=.{3,96}$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
            r"/[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$"
        ),
        Field(examples=["me/my-adapter", "me/other"]),
    ]
    """a repository on the Hub, namespace/name"""
    tag: Annotated[
        str, matches(r"^(?!.*(\.\.|\.lock$|\.$))[A-Za-z0-9][A-Za-z0-9._-]{0,95}$"), Field(examples=["v1.0.0", "v2"])
    ]
    """a tag for this release in quotes, new in the repository"""
    license: Annotated[Text, Field(examples=["apache-2.0", "mit"])]
    """the adapter's licence, as the Hub names it"""
    private: bool = False
    allow_unpinned: bool = False
    """true or false: whether to publish to a real Hub what was made outside the pinned container image"""
    endpoint: Annotated[Endpoint, Field(examples=["file:hub"])] = "https://huggingface.co"
    """a Hub's address, or file: and a folder relative to this file for the embedded Hub; never with a password"""
    language: Annotated[
        tuple[Annotated[str, Field(min_length=2)], ...],
        DISTINCT,
        OrAlone(Annotated[str, Field(min_length=2)]),
        Field(examples=[["sw", "en"]]),
    ] = ("en",)
    """a language code in quotes, or a list of them"""
    tags: Annotated[tuple[Text, ...], DISTINCT, Field(examples=[["citations", "refusal"]])] = ()
    """a list of different words"""
    enabled: bool = True
    signing_key: Annotated[Given[File], Field(examples=["../keys/release.pem", "/media/keys/release.pem"])] = None
    """a file with a private key in PEM (P-256, P-384 or P-521), relative to this file; better outside of every
    repository"""
    keyless: bool = False
    """true or false: sign by the identity of this CI job, through Sigstore"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What release.yaml says, with every default filled in; its paths are absolute."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    path: SkipJsonSchema[Path] = field(compare=False)
    run: Run
    """a section with the run's name"""
    model: Model
    """a section that names the base model"""
    adapter: Adapter = field(default_factory=Adapter)
    """a section with the adapter's method and shape"""
    data: Data
    """a section that names the data files"""
    training: Training = field(default_factory=Training)
    """a section with the training settings, named as in transformers"""
    generation: Generation = field(default_factory=Generation)
    """a section with the settings for the answers that are judged"""
    serving: Annotated[
        Mapping[str, Form],
        no_key_of((TRAINED,), "^[a-z0-9][a-z0-9_-]{0,39}$"),
        Field(examples=[{"merged": {"merged": True}}, {"bf16": {"base": "unquantized"}}]),
    ] = field(default_factory=dict)
    """a section of the forms in which the adapter is to be served, each by a name of its own (small letters, digits,
    '_' and '-'): engine, base, and so on; each is judged beside the form it was trained in"""
    tries: Given[Tries] = None
    """a section of the trainings that are tried until one passes on the tuning rows; leave it out for one training"""
    container: Container = field(default_factory=Container)
    """a section on the container that training and answering run in, or only its use"""
    budget: Budget = field(default_factory=Budget)
    """a section that says what may be spent on this run's name, over all its attempts"""
    contract: Annotated[
        Mapping[str, object],
        Field(min_length=1, examples=[{"schema": "answer.schema.json"}, {"schema": "other.schema.json"}]),
    ]
    """a section with the answer schema and where in an answer its text, citations and refusal are"""
    gates: Annotated[
        Given[Annotated[Mapping[str, object], Field(min_length=1)]],
        AfterValidator(lambda gates: {name: bar for name, bar in gates.items() if name != "weaker_because"} or None),
        Field(examples=[{"answer_rate": {"target": 0.9}}, {"answer_rate": {"target": 0.95}}]),
    ] = None
    """a section with a policy for each gate; leave it out for the default policy"""
    weaker_because: Annotated[
        Given[Annotated[str, matches(r"\S")]],
        Field(
            validation_alias=AliasPath("gates", "weaker_because"),
            examples=["half of the old questions were ambiguous", "the product asks back now"],
        ),
    ] = None
    """a sentence, printed on the card, that says why this release requires less than the previous one"""
    publishing: Publishing
    """a section that says what is published, and where"""
    notices: SkipJsonSchema[tuple[str, ...]] = field(default=(), compare=False)
    """A line for each setting of the file that changes nothing here, with the reason."""

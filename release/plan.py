"""Memory, hours and money of a training run, from the base model's config.json and the configuration, before it starts.

Only what training holds is counted: there is no KV cache in it, and a frozen weight has neither gradient nor optimizer
state. Sizes are of dense decoders in the shape of Llama; another shape is refused, not guessed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from release.config import Config
from release.errors import PreflightError

PRICES = Path(__file__).parent.parent / "prices.json"
GB = 1e9  # as cards and clouds count
BLOCK, DOUBLE_BLOCK = 64, 256  # weights a first and a second constant stands for (bitsandbytes; Dettmers et al. 2023)
SMALLEST_8BIT = 4096  # bitsandbytes keeps the state of smaller tensors in float32
CUDA = 0.8 * GB  # context, cuBLAS workspaces and kernels; 0.5-0.9 on recent drivers
SLACK_CUDA = 1.05  # what the allocator cannot use again, as a factor on what comes and goes
SLACK_CPU = 1.3  # the same for the C library's heap over batches of changing length: fitted, see docs/plan.md
LIBRARIES = 0.7 * GB  # torch, transformers, peft, trl and their buffers: 0.5-0.6 before the first step; fitted
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
DENSE = {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "olmo", "olmo2", "smollm3", "granite"}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What config.json says of a dense decoder."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    biases: bool
    normed: bool
    """Whether its norms have weights; the first OLMo's have none (Groeneveld et al. 2024)."""
    bytes_on_disk: int
    """Of a weight in the checkpoint."""

    @property
    def linear(self) -> Mapping[str, tuple[int, int]]:
        """Inputs and outputs of each projection of a layer."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        hidden, inner = self.hidden, self.intermediate
        return {
            "q_proj": (hidden, queries),
            "k_proj": (hidden, keys),
            "v_proj": (hidden, keys),
            "o_proj": (queries, hidden),
            "gate_proj": (hidden, inner),
            "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        }

    @property
    def in_linear(self) -> int:
        """Weights of the layers' projections: what QLoRA keeps in four bits."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linear.values())

    @property
    def elsewhere(self) -> int:
        """Embeddings (twice if the output's are its own), norms and biases."""
        biases = sum(self.linear[name][1] for name in ("q_proj", "k_proj", "v_proj")) if self.biases else 0
        norm = self.hidden if self.normed else 0
        return self.vocab * self.hidden * (1 if self.tied else 2) + self.layers * (2 * norm + biases) + norm

    @property
    def parameters(self) -> int:
        return self.in_linear + self.elsewhere


@dataclass(frozen=True, kw_only=True)
class Load:
    """What the rows ask for."""

    rows: int
    tokens: int
    """Of all rows together."""
    longest: int
    learned: int
    """Positions of the longest batch at which some row has a label."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    parts: Mapping[str, float]
    """Bytes by what they are for."""
    steps: int
    flops: float

    @property
    def memory(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True, kw_only=True)
class Option:
    """A card beside what the run needs."""

    card: str
    memory_gb: float
    fits: bool
    hours: float
    cost: float


def read_shape(config_json: Path) -> Shape:
    """The shape a model's config.json describes; ``PreflightError`` for one that cannot be counted."""
    try:
        found = json.loads(config_json.read_bytes())
    except (OSError, ValueError) as error:
        raise PreflightError(f"{config_json} cannot be read: {error}. It describes the base model.") from None
    found = found.get("text_config", found)
    kind = found.get("model_type")
    needed = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
    missing = [name for name in needed if not isinstance(found.get(name), int)]
    if missing or kind not in DENSE or found.get("num_experts") or found.get("num_local_experts"):
        why = f"it does not say {', '.join(missing)}" if missing else f"model_type {kind!r} is not counted here"
        raise PreflightError(
            f"The memory of {config_json} cannot be planned: {why}. Known: {', '.join(sorted(DENSE))}, dense only."
        )
    heads = found["num_attention_heads"]
    return Shape(
        layers=found["num_hidden_layers"],
        hidden=found["hidden_size"],
        intermediate=found["intermediate_size"],
        heads=heads,
        kv_heads=found.get("num_key_value_heads") or heads,
        head_dim=found.get("head_dim") or found["hidden_size"] // heads,
        vocab=found["vocab_size"],
        tied=found.get("tie_word_embeddings", kind in {"gemma", "gemma2"}),
        biases=found.get("attention_bias", kind == "qwen2"),
        normed=kind != "olmo",
        bytes_on_disk=4 if found.get("dtype", found.get("torch_dtype")) == "float32" else 2,
    )


def load_of(lengths: Sequence[tuple[int, int]] | None, rows: int, max_length: int) -> Load:
    """What rows of these prompt and total lengths ask for; without lengths every row counts as the longest allowed."""
    if not lengths:
        return Load(rows=rows, tokens=rows * max_length, longest=max_length, learned=max_length)
    longest = max(total for _, total in lengths)
    return Load(
        rows=len(lengths),
        tokens=sum(total for _, total in lengths),
        longest=longest,
        learned=longest - min(prompt for prompt, _ in lengths),
    )


def trainable(shape: Shape, config: Config) -> int:
    """Parameters of the adapter."""
    return sum(config.adapter.lora.r * (inputs + outputs) for inputs, outputs in _adapted(shape, config)) * shape.layers


def _adapted(shape: Shape, config: Config) -> list[tuple[int, int]]:
    names = config.adapter.lora.target_modules
    wanted = PROJECTIONS if names == ("all-linear",) else tuple(name.rpartition(".")[2] for name in names)
    return [size for name, size in shape.linear.items() if name in wanted]


def estimate(shape: Shape, config: Config, load: Load, *, cuda: bool) -> Estimate:
    """The peak of training by what it is for, the optimizer steps, and the arithmetic of the whole run."""
    training = config.training
    checkpointing = cuda if training.activation_checkpointing == "auto" else training.activation_checkpointing
    adapter = trainable(shape, config)
    number = 2 if cuda else 4  # bfloat16 on a GPU, float32 on a CPU
    kept = 2 if cuda and config.adapter.method == "qlora" else 4  # TRL trains in bfloat16 over four bits
    batch = min(training.per_device_train_batch_size, load.rows)
    tokens, learned = batch * load.longest, batch * min(load.learned, load.longest)
    slack = SLACK_CUDA if cuda else SLACK_CPU
    parts = {
        "base weights": _weights(shape, config, number, cuda=cuda),
        "adapter": float(adapter * kept),
        "gradients": float(adapter * kept),
        "optimizer": _optimizer(shape, config, adapter),
        "activations": _activations(shape, config, tokens, cuda=cuda, checkpointing=checkpointing) * slack,
        # as they come out, in float32 (on a CPU they already are), their softmax, and their gradient
        "logits": learned * shape.vocab * (number + (12.0 if cuda else 8.0)) * slack,
    }
    if cuda:
        parts["CUDA"] = CUDA
    else:
        parts["libraries"] = LIBRARIES
    steps = steps_of(config, load.rows)
    rows_seen = steps * training.per_device_train_batch_size * training.gradient_accumulation_steps
    # Forward 2, backward 2 for what flows back; frozen weights need no gradient of their own; recomputing costs 2 more.
    per_weight = 6 if checkpointing else 4
    if training.max_steps < 0:
        rows_seen = min(rows_seen, round(training.num_train_epochs * load.rows))
    seen = load.tokens / load.rows * rows_seen
    return Estimate(parts=parts, steps=steps, flops=per_weight * (shape.in_linear + adapter) * seen)


def steps_of(config: Config, rows: int) -> int:
    """Optimizer steps, as transformers counts them."""
    training = config.training
    if training.max_steps > 0:
        return training.max_steps
    batches = -(-rows // training.per_device_train_batch_size)
    per_epoch = max(1, -(-batches // training.gradient_accumulation_steps))
    return max(1, -int(-training.num_train_epochs * per_epoch // 1))


def _weights(shape: Shape, config: Config, number: int, *, cuda: bool) -> float:
    if not cuda:
        return float(_on_a_cpu(shape, config) * number)
    if config.adapter.method == "lora":
        return float(shape.parameters * number)
    constants = 4 / BLOCK
    if config.adapter.quantization.bnb_4bit_use_double_quant:
        constants = 1 / BLOCK + 4 / (BLOCK * DOUBLE_BLOCK)
    one_at_a_time = max(inputs * outputs for inputs, outputs in shape.linear.values()) * number
    return shape.in_linear * (0.5 + constants) + shape.elsewhere * number + one_at_a_time


def _on_a_cpu(shape: Shape, config: Config) -> int:
    """Float32 weights that are resident, each as often as it is.

    A file that holds float32 itself stays mapped: what is read of it counts, and of input embeddings that are not the
    output's only the rows of the tokens that occur. Four-bit weights are turned back into float32 once beside it
    (docs/decisions/0002). Weights of another precision are converted, and the file is let go.
    """
    if shape.bytes_on_disk != 4:
        return shape.parameters
    read = shape.parameters - (0 if shape.tied else shape.vocab * shape.hidden)
    return read + (shape.in_linear if config.adapter.method == "qlora" else 0)


def _optimizer(shape: Shape, config: Config, adapter: int) -> float:
    """Two moments: of one byte in eight bits (and a constant for each 256), else of four."""
    if "8bit" not in config.training.optim:
        return 8.0 * adapter
    rank = config.adapter.lora.r
    sizes = [rank * side for pair in _adapted(shape, config) for side in pair]
    return float(shape.layers * sum(size * (2 + 8 / DOUBLE_BLOCK if size >= SMALLEST_8BIT else 8) for size in sizes))


def _activations(shape: Shape, config: Config, tokens: int, *, cuda: bool, checkpointing: bool) -> float:
    """What the backward pass still needs of a batch of so many tokens."""
    layer = _layer(shape, config, cuda=cuda)
    if checkpointing:
        return tokens * (shape.layers * shape.hidden * (2 if cuda else 4) + layer)
    return tokens * (shape.layers * layer)


def _layer(shape: Shape, config: Config, *, cuda: bool) -> float:
    """Bytes a token leaves in one layer.

    A frozen projection keeps nothing of its input. An adapted one keeps its dropped-out input, the dropout's mask (a
    byte on a GPU, a float on a CPU) and what the first half of the adapter makes of it.
    """
    number, mask = (2, 1) if cuda else (4, 4)
    adapted = _adapted(shape, config)
    inputs = sum(inputs for inputs, _ in adapted)
    norms = 2 * shape.hidden * 4  # both inputs, in float32
    attention = 4 * shape.heads * shape.head_dim * number  # queries, keys and values for every head, and the result
    mlp = 3 * shape.intermediate * number  # the gate before and after its activation, and the other branch
    # without dropout the projections that read the same input share it
    kept = inputs * (number + mask) if config.adapter.lora.dropout else len({one for one, _ in adapted}) * shape.hidden
    return norms + attention + mlp + kept + len(adapted) * config.adapter.lora.r * number


def options(estimated: Estimate, prices: Mapping[str, Any], price: float | None = None) -> tuple[Option, ...]:
    """Each card of the price file: whether the run fits, how long it takes, what it costs."""
    found = []
    for card in prices["cards"]:
        hours = estimated.flops / (card["bf16_tflops"] * 1e12 * prices["utilisation"]) / 3600
        found.append(
            Option(
                card=card["name"],
                memory_gb=card["memory_gb"],
                fits=estimated.memory <= card["memory_gb"] * GB,
                hours=hours,
                cost=hours * (card["price_per_hour"] if price is None else price),
            )
        )
    return tuple(found)


def cpu_hours(estimated: Estimate, prices: Mapping[str, Any], threads: int) -> float:
    return float(estimated.flops / (prices["cpu_flops_per_thread"] * threads) / 3600)


def read_prices(path: Path = PRICES) -> dict[str, Any]:
    """The price file; ``PreflightError`` with what it lacks."""
    prices: dict[str, Any] = {}
    try:
        prices = json.loads(path.read_bytes())
        problems = list(_price_problems(prices))
    except (OSError, ValueError) as error:
        problems = [str(error)]
    if problems:
        why = "; ".join(problems)
        raise PreflightError(f"{path} cannot be used: {why}. Compare it with the prices.json of this tool.")
    return prices


def _price_problems(prices: Any) -> Iterator[str]:
    from jsonschema import Draft202012Validator

    import schemas

    for error in Draft202012Validator(schemas.load("prices")).iter_errors(prices):
        yield f"{'.'.join(map(str, error.absolute_path)) or 'the file'}: {error.message[:120]}"


def remedies(estimated: Estimate, config: Config) -> list[str]:
    """What to change when a run does not fit, what saves most first."""
    saves: list[tuple[float, str]] = []
    parts, training = estimated.parts, config.training
    if training.per_device_train_batch_size > 1:
        half = "halve training.per_device_train_batch_size and double gradient_accumulation_steps"
        saves.append(((parts["activations"] + parts["logits"]) / 2, half))
    if training.activation_checkpointing is False:
        saves.append((parts["activations"] * 0.8, "set training.activation_checkpointing: true"))
    if config.adapter.method == "lora" and "CUDA" in parts:
        saves.append((parts["base weights"] * 0.7, "set adapter.method: qlora, and quantization.load_in_4bit: true"))
    if "8bit" not in training.optim:
        saves.append((parts["optimizer"] * 0.7, "set training.optim: paged_adamw_8bit"))
    saves.append(((parts["activations"] + parts["logits"]) / 3, "lower data.max_length, if the data allows it"))
    return [f"{text} (about {bytes_saved / GB:.1f} GB less)" for bytes_saved, text in sorted(saves, reverse=True)]


def table(estimated: Estimate, cards: Sequence[Option], currency: str) -> list[str]:
    """The estimate in lines for a terminal."""
    lines = [f"  {name:14} {size / GB:7.2f} GB" for name, size in estimated.parts.items()]
    lines += [f"  {'together':14} {estimated.memory / GB:7.2f} GB    {estimated.steps} optimizer steps"]
    lines += [f"  {'card':14} {'memory':>7}  fits  {'hours':>7}  {currency:>7}"] if cards else []
    lines += [
        f"  {one.card:14} {one.memory_gb:4} GB  {'yes ' if one.fits else 'no  '}  {one.hours:7.2f}  {one.cost:7.2f}"
        for one in cards
    ]
    return lines

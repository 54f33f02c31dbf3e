"""Memory, hours and money of a training run, from the base model's architecture and the configuration.

Only what training holds is counted: there is no KV cache in it, and a frozen weight has neither gradient nor optimizer
state. Weights are counted as transformers builds them (`release.models.architecture`); what a layer keeps for the
backward pass is that of a decoder in the shape of Llama, and nearly that of others.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from release.config.forms import trained_over
from release.config.settings import Config, Precision
from release.models.architecture import Architecture

GB = 1e9  # as cards and clouds count
BLOCK, DOUBLE_BLOCK = 64, 256  # weights a first and a second constant stands for (bitsandbytes; Dettmers et al. 2023)
SMALLEST_8BIT = 4096  # bitsandbytes keeps the state of smaller tensors in float32
CUDA = 0.8 * GB  # context, cuBLAS workspaces and kernels; 0.5-0.9 on recent drivers
SLACK_CUDA = 1.05  # what the allocator cannot use again, as a factor on what comes and goes
SLACK_CPU = 1.3  # the same for the C library's heap over batches of changing length: fitted, see docs/plan.md
FILE = 50 * GB  # of weights at most (transformers 5.23, save_pretrained)
LIBRARIES = 0.7 * GB  # torch, transformers, peft, trl and their buffers: 0.5-0.6 before the first step; fitted


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
    processes: int = 1
    """That train together: a card each, or on a machine without one in this memory."""

    @property
    def memory(self) -> float:
        return sum(self.parts.values())


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


def trainable(shape: Architecture, config: Config) -> int:
    """Parameters of the adapter."""
    return sum(config.adapter.lora.r * (inputs + outputs) for inputs, outputs in _adapted(shape, config).values())


def _adapted(shape: Architecture, config: Config) -> dict[str, tuple[int, int]]:
    return shape.adapted(config.adapter.lora.target_modules)


def estimate(shape: Architecture, config: Config, load: Load, *, cuda: bool) -> Estimate:
    """The peak of training by what it is for, the optimizer steps, and the arithmetic of the whole run."""
    training = config.training
    checkpointing = cuda if training.activation_checkpointing == "auto" else training.activation_checkpointing
    adapter = trainable(shape, config)
    number = 2 if cuda else 4  # bfloat16 on a GPU, float32 on a CPU
    kept = 2 if cuda and config.adapter.method == "qlora" else 4  # TRL trains in bfloat16 over four bits
    batch = min(training.per_device_train_batch_size, load.rows)
    tokens, learned = batch * load.longest, batch * min(load.learned, load.longest)
    slack = SLACK_CUDA if cuda else SLACK_CPU
    many = training.processes or 1
    shares = many if training.fsdp else 1
    parts = {
        **_of_base(shape, config, number, shares, cuda=cuda),
        "adapter": adapter * kept / shares,
        "gradients": adapter * kept / shares,
        "optimizer": _optimizer(shape, config, adapter) / shares,
        "activations": _activations(shape, config, tokens, cuda=cuda, checkpointing=checkpointing) * slack,
        # as they come out, in float32 (on a CPU they already are), their softmax, and their gradient
        "logits": learned * shape.vocab * (number + (12.0 if cuda else 8.0)) * slack,
    }
    if cuda:
        parts["CUDA"] = CUDA
    else:
        parts["libraries"] = LIBRARIES
    steps = steps_of(config, load.rows)
    if not cuda:  # they share this machine's memory, and a card each otherwise
        parts = {name: size * many for name, size in parts.items()}
    rows_seen = steps * many * training.per_device_train_batch_size * training.gradient_accumulation_steps
    # Forward 2, backward 2 for what flows back; frozen weights need no gradient of their own; recomputing costs 2 more.
    per_weight = 6 if checkpointing else 4
    if training.max_steps < 0:
        rows_seen = min(rows_seen, round(training.num_train_epochs * load.rows))
    seen = load.tokens / load.rows * rows_seen
    return Estimate(parts=parts, steps=steps, flops=per_weight * (shape.active + adapter) * seen, processes=many)


def answering(
    shape: Architecture, config: Config, *, cuda: bool, precision: Precision | None = None, cards: int = 1
) -> Estimate:
    """What a process that answers holds, on each of its cards; the cache of the texts at work is not counted.

    Without a ``precision`` that of the form it is trained in. No layer is cut: one card may hold one more than another.
    """
    if precision is not None:
        held = replace(config.adapter.quantization, load_in_4bit=precision == "nf4")
        config = replace(config, adapter=replace(config.adapter, quantization=held))
    one_form = replace(config, training=replace(config.training, over=trained_over(config)[:1]))
    number = 2 if cuda else 4
    parts = {
        "base weights": _weights(shape, one_form, number, cuda=cuda) / cards,
        **({"a part more": _whole(shape, config, number)} if cards > 1 else {}),
        "adapter": trainable(shape, config) * 4.0 / cards,
        **({"CUDA": CUDA} if cuda else {"libraries": LIBRARIES}),
    }
    return Estimate(parts=parts, steps=0, flops=0.0)


def merging(shape: Architecture, config: Config, cards: int) -> Estimate:
    """What each card, without cards the host, holds while an adapter is added to its base's weights, in float32."""
    plain = replace(config.adapter.quantization, load_in_4bit=False)
    whole = replace(config, adapter=replace(config.adapter, quantization=plain))
    parts = {
        "float32 weights": shape.parameters * 4.0 / max(1, cards),
        **({"a part more": _whole(shape, whole, 4)} if cards > 1 else {}),
        "one layer's sum": _largest(shape) * 4.0,
        "adapter": trainable(shape, config) * 4.0 / max(1, cards),
        **({"CUDA": CUDA} if cards else {"libraries": LIBRARIES}),
    }
    return Estimate(parts=parts, steps=0, flops=0.0)


def written_at_once(shape: Architecture) -> float:
    """Bytes of the host's memory while float32 weights are written from cards: as much as one file has."""
    return min(shape.parameters * 4.0, FILE)


def steps_of(config: Config, rows: int) -> int:
    """Optimizer steps, as transformers counts them."""
    training = config.training
    if training.max_steps > 0:
        return training.max_steps
    batches = -(-rows // (training.per_device_train_batch_size * (training.processes or 1)))
    per_epoch = max(1, -(-batches // training.gradient_accumulation_steps))
    return max(1, -int(-training.num_train_epochs * per_epoch // 1))


def save_steps_of(config: Config, steps: int) -> int:
    """After how many steps a checkpoint is due each time in a training of so many, as transformers counts them."""
    every = config.training.save_steps
    return math.ceil(steps * every) if every < 1 else int(every)


def _of_base(shape: Architecture, config: Config, number: int, shares: int, *, cuda: bool) -> dict[str, float]:
    """What a process keeps of the frozen weights, and what it has whole for as long as it computes with it.

    FSDP2 puts a layer together when it is needed, the next one ahead of it; embeddings, last norm and output stay so
    from the first layer to the step's end. The constants of four bits are no weights, and in every process.
    """
    four_bits = config.adapter.quantization.load_in_4bit
    if shares == 1 or (four_bits and not cuda):  # which each process turns back before anything is shared out
        return {"base weights": _weights(shape, config, number, cuda=cuda)}
    linear = _linear(shape, config, number)
    kept = linear + shape.elsewhere * number if cuda else _weights(shape, config, number, cuda=False)
    constants = shape.in_linear * _constants(config) if four_bits else 0.0
    turned_back = _largest(shape) * number if four_bits else 0
    together = 2 * _of_a_layer(shape, config, number) + _outside(shape) * number + turned_back
    return {"base weights": kept / shares + constants, "put together": together}


def _linear(shape: Architecture, config: Config, number: int) -> float:
    """Bytes of the linear layers."""
    return shape.in_linear * (0.5 if config.adapter.quantization.load_in_4bit else number)


def _outside(shape: Architecture) -> int:
    """Weights of embeddings and output, which are no part of a layer."""
    found = sum(rows * columns for rows, columns in shape.embeddings.values())
    return found + (0 if shape.tied else shape.vocab * shape.hidden)


def _of_a_layer(shape: Architecture, config: Config, number: int) -> float:
    """Bytes of a layer's weights."""
    others = max(0, shape.elsewhere - _outside(shape)) * number
    return (_linear(shape, config, number) + others) / max(1, shape.layers)


def _whole(shape: Architecture, config: Config, number: int) -> float:
    """Bytes of the largest part that lies on one card: a layer, or the embeddings or the output."""
    tables = [rows * columns for rows, columns in shape.embeddings.values()]
    return max(_of_a_layer(shape, config, number), max([*tables, shape.vocab * shape.hidden]) * number)


def _largest(shape: Architecture) -> int:
    """Weights of the largest linear layer."""
    return max((inputs * outputs for inputs, outputs in shape.linear.values()), default=0)


def _constants(config: Config) -> float:
    """Bytes that stand beside each weight of four bits."""
    double = config.adapter.quantization.bnb_4bit_use_double_quant
    return 1 / BLOCK + 4 / (BLOCK * DOUBLE_BLOCK) if double else 4 / BLOCK


def _weights(shape: Architecture, config: Config, number: int, *, cuda: bool) -> float:
    if not cuda:
        return float(_on_a_cpu(shape, config) * number)
    if not config.adapter.quantization.load_in_4bit:
        return float(shape.parameters * number)
    return shape.in_linear * (0.5 + _constants(config)) + shape.elsewhere * number + _largest(shape) * number


def _on_a_cpu(shape: Architecture, config: Config) -> int:
    """Float32 weights that are resident, each as often as it is.

    A file that holds float32 itself stays mapped: what is read of it counts, and of input embeddings that are not the
    output's only the rows of the tokens that occur. Four-bit weights are turned back into float32 once beside it
    (docs/decisions/0002). Weights of another precision are converted, and the file is let go. Where training alternates
    between both, the unquantized ones stay too: a file that is mapped is mapped a second time.
    """
    beside = shape.in_linear if len(trained_over(config)) > 1 else 0
    if shape.bytes_on_disk != 4:
        return shape.parameters + beside
    read = shape.parameters - (0 if shape.tied else shape.vocab * shape.hidden)
    return read + (shape.in_linear if config.adapter.quantization.load_in_4bit else 0) + beside


def _optimizer(shape: Architecture, config: Config, adapter: int) -> float:
    """Two moments: of one byte in eight bits (and a constant for each 256), else of four."""
    if "8bit" not in config.training.optim:
        return 8.0 * adapter
    rank = config.adapter.lora.r
    sizes = [rank * side for pair in _adapted(shape, config).values() for side in pair]
    return float(sum(size * (2 + 8 / DOUBLE_BLOCK if size >= SMALLEST_8BIT else 8) for size in sizes))


def _activations(shape: Architecture, config: Config, tokens: int, *, cuda: bool, checkpointing: bool) -> float:
    """What the backward pass still needs of a batch of so many tokens."""
    frozen, adapters = _layer(shape, cuda=cuda), _adapters(shape, config, cuda=cuda)
    if checkpointing:
        return tokens * (shape.layers * shape.hidden * (2 if cuda else 4) + frozen + max(adapters, default=0))
    return tokens * (shape.layers * frozen + sum(adapters))


def _layer(shape: Architecture, *, cuda: bool) -> float:
    """Bytes a token leaves in one layer without its adapters: a frozen projection keeps nothing of its input."""
    number = 2 if cuda else 4
    norms = 2 * shape.hidden * 4  # both inputs, in float32
    # queries, keys and values for every head, and the result; a layer without heads keeps about as much of its state
    attention = 4 * (shape.heads * shape.head_dim or shape.hidden) * number
    mlp = 3 * shape.intermediate * number  # the gate before and after its activation, and the other branch
    routed = 2 * shape.experts_per_token * shape.hidden * number  # each expert's own copy of its input, and its result
    return norms + attention + mlp + routed


def _adapters(shape: Architecture, config: Config, *, cuda: bool) -> list[float]:
    """Bytes a token leaves in the adapters of each layer that has some.

    An adapted projection keeps its dropped-out input, the dropout's mask (a byte on a GPU, a float on a CPU) and what
    the first half of the adapter makes of it.
    """
    number, mask = (2, 1) if cuda else (4, 4)
    layers: dict[str, list[int]] = {}
    for name, (inputs, _) in _adapted(shape, config).items():
        if name not in shape.embeddings:  # whose input is a number a token
            layers.setdefault(_layer_of(name), []).append(inputs)
    # without dropout the projections that read the same input share it
    kept = (lambda i: sum(i) * (number + mask)) if config.adapter.lora.dropout else (lambda i: sum(set(i)) * number)
    return [kept(inputs) + len(inputs) * config.adapter.lora.r * number for inputs in layers.values()]


def _layer_of(name: str) -> str:
    """The start of a module's name up to its layer's number."""
    found = re.match(r".*?\.\d+(?=\.)", name)
    return found[0] if found else ""


def cpu_hours(estimated: Estimate, prices: Mapping[str, Any], threads: int) -> float:
    return float(estimated.flops / (prices["cpu_flops_per_thread"] * threads) / 3600)


def remedies(estimated: Estimate, config: Config) -> list[str]:
    """What to change when a run does not fit, what saves most first."""
    if config.adapter.method == "imported":
        several = ["set generation.device_map: auto, for its layers on all cards"] if "CUDA" in estimated.parts else []
        return ["set adapter.quantization.load_in_4bit: true", *several, "judge on a machine with more memory"]
    saves: list[tuple[float, str]] = []
    parts, training = estimated.parts, config.training
    if estimated.processes > 1 and "CUDA" not in parts:
        without_one = "lower training.processes, or take it out: each holds as much of this machine's memory"
        saves.append((estimated.memory / estimated.processes, without_one))
    if training.per_device_train_batch_size > 1:
        half = "halve training.per_device_train_batch_size and double gradient_accumulation_steps"
        saves.append(((parts["activations"] + parts["logits"]) / 2, half))
    if training.activation_checkpointing is False:
        saves.append((parts["activations"] * 0.8, "set training.activation_checkpointing: true"))
    if config.adapter.method == "lora" and "CUDA" in parts:
        saves.append((parts["base weights"] * 0.7, "set adapter.method: qlora, and quantization.load_in_4bit: true"))
    if "CUDA" in parts and not training.fsdp:
        shared = "share the base out over two cards: training.processes: 2, fsdp: true and optim: adamw_torch"
        saves.append((parts["base weights"] / 2, shared))
    if "8bit" not in training.optim and not training.fsdp:
        saves.append((parts["optimizer"] * 0.7, "set training.optim: paged_adamw_8bit"))
    saves.append(((parts["activations"] + parts["logits"]) / 3, "lower data.max_length, if the data allows it"))
    return [f"{text} (about {bytes_saved / GB:.1f} GB less)" for bytes_saved, text in sorted(saves, reverse=True)]


def table(estimated: Estimate) -> list[str]:
    """The estimate in lines for a terminal."""
    lines = [f"  {name:14} {size / GB:7.2f} GB" for name, size in estimated.parts.items()]
    return [*lines, f"  {'together':14} {estimated.memory / GB:7.2f} GB    {estimated.steps} optimizer steps"]

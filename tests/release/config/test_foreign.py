"""Configurations of other trainers become a release.yaml in which nothing is lost without a word."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.config import foreign, messages, reading, trainers, tree
from release.config.messages import SETTINGS
from release.config.older import RENAMED
from release.values.errors import ConfigError
from tests.helpers.line import ROOT

FILES = ROOT / "tests" / "data" / "trainers"
GIVEN = sorted(path for path in FILES.iterdir() if not path.name.endswith(".release.yaml"))
AS_THEY_ARE = ("first_users_001_0", "first_users_004_0", "first_users_004_1")
REST: tree.Tree = {
    "run": {"name": "first"},
    "model": {"base_model_id": "some/base", "revision": "0123456789abcdef0123456789abcdef01234567"},
    "data": {"train_file": "train.jsonl", "golden_file": "golden.jsonl"},
    "contract": {"schema": "answer.schema.json", "answer": "/answer"},
    "publishing": {"hf_repo": "me/first", "tag": "v1", "license": "mit"},
}


def converted(text: str, folder: Path, name: str | None = None) -> foreign.Converted:
    path = folder / "given.yaml"
    path.write_text(text, "utf-8")
    return foreign.convert(tree.read(path), name)


@pytest.mark.parametrize("path", GIVEN, ids=lambda path: path.stem)
def test_a_file_of_another_trainer_becomes_the_release_yaml_beside_it(path: Path, tmp_path: Path) -> None:
    to = tmp_path / "release.yaml"
    list(foreign.to_file(path, to, None))

    assert to.read_text("utf-8") == path.with_suffix("").with_suffix(".release.yaml").read_text("utf-8")


@pytest.mark.parametrize("path", GIVEN, ids=lambda path: path.stem)
def test_every_key_is_a_setting_or_a_comment(path: Path) -> None:
    read = tree.read(path).tree
    made = foreign.convert(tree.read(path))
    keys = {key for key, _ in trainers.leaves(read)}
    told = {line.partition(": ")[0] for line in made.without}

    for key in keys - told:
        rules = {one.to for name in trainers.trainers().values() for one in name.keys.get(key, ())}
        rules |= {RENAMED.get(key, key), trainers.meaning(key.rpartition(".")[2])}
        assert rules & made.settings.keys(), key


@pytest.mark.parametrize("path", GIVEN, ids=lambda path: path.stem)
def test_what_was_filled_in_loads(path: Path, tmp_path: Path) -> None:
    made = foreign.convert(tree.read(path))
    lines = []
    for line in made.text.splitlines():
        fill = "FILL IN" in line or line.removeprefix("# ").removesuffix(":") in messages.SCHEMA["properties"]
        lines.append(line.replace("# ", "", 1) if fill else line)
    to = tmp_path / "release.yaml"
    to.write_text("\n".join(lines), "utf-8")

    loaded = reading.effective(reading.load(to))

    for key, one in made.settings.items():
        if key not in {"run.output_dir", "data.train_file", "data.golden_file"}:
            assert tree.get(loaded, key) == one.value, key


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_the_first_users_blocks_load_as_they_are(name: str) -> None:
    block = tree.parsed_file(FILES / f"{name}.yaml")

    loaded = reading.parse(tree.merged(REST, block), FILES / "release.yaml")

    assert loaded.adapter.lora.r == 16
    assert len(loaded.adapter.lora.target_modules) == 7
    assert any("names no module" in said for said in loaded.notices) == (name == "first_users_004_1")


def test_every_setting_of_the_table_is_one_and_every_default_fits() -> None:
    for one in trainers.trainers().values():
        named = {messages.named(rule.to) for each in one.keys.values() for rule in each} | set(one.defaults)
        named = {key for key in named if not key.startswith("model.chat_template_kwargs.")}
        assert named <= SETTINGS.keys(), one.id
        for key, value in one.defaults.items():
            assert isinstance(value, dict) or foreign._fits(key, value), (one.id, key)


def test_what_a_file_of_ours_says_of_contract_gates_and_forms_is_kept_whole(tmp_path: Path) -> None:
    text = (
        "training: {num_train_epochs: 2}\ncontract: {schema: a.json, answer: /a}\nserving: {merged: {merged: true}}\n"
    )
    made = converted(text, tmp_path)

    assert made.settings["contract"].value == {"schema": "a.json", "answer": "/a"}
    assert "contract" not in made.to_fill_in
    assert tree.parsed(made.text) == {
        "run": {"name": "given"},
        "training": {"num_train_epochs": 2},
        "contract": {"schema": "a.json", "answer": "/a"},
        "serving": {"merged": {"merged": True}},
    }


def test_a_token_is_not_copied(tmp_path: Path) -> None:
    secret = "hf_" + "x" * 20
    made = converted(f"base_model: some/base\nhub_token: {secret}\nwandb_api_key: {secret}\nlora_r: 8\n", tmp_path)

    assert secret not in made.text
    assert sum("(not copied)" in line for line in made.without) == 2


def test_a_value_that_cannot_be_is_a_comment_and_not_a_default_without_a_word(tmp_path: Path) -> None:
    made = converted(
        "base_model: some/base\noptimizer: lion_8bit\nmicro_batch_size: 0\nlora_r: 8\n", tmp_path, "axolotl"
    )

    assert [line.partition(":")[0] for line in made.without] == ["optimizer", "micro_batch_size"]
    assert "training.optim cannot be that; expected one of" in made.without[0]


def test_of_two_keys_for_one_setting_the_one_that_says_something_counts(tmp_path: Path) -> None:
    zero = converted("warmup_ratio: 0.1\nwarmup_steps: 0\nlora_r: 8\n", tmp_path, "trl")
    both = converted("warmup_ratio: 0.1\nwarmup_steps: 10\nlora_r: 8\n", tmp_path, "trl")

    assert zero.settings["training.warmup_steps"].value == 0.1
    assert zero.without == ()
    assert both.without == ("warmup_steps: 10 - training.warmup_steps is 0.1 already",)


SWIFT = "model: a/b\ndataset: [rows.jsonl]\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tuner_type: lora\nlora_rank: 8\ntemplate: qwen2_5\n", "ms-swift"),
        ("train_type: lora\nlora_rank: 8\nlora_alpha: 32\ntarget_modules: all-linear\n", "ms-swift"),
        (f"{SWIFT}lora_rank: 8\nlora_alpha: 32\nmax_length: 2048\nlearning_rate: 1e-4\n", "ms-swift"),
        ('{"model": "a/b", "lora_rank": 8, "lora_alpha": 32, "template": "x", "swift_version": "4.1"}', "ms-swift"),
        ("model_name_or_path: a/b\nstage: sft\ntemplate: qwen\nlora_rank: 8\n", "LLaMA-Factory"),
        ("model_name_or_path: a/b\ncutoff_len: 2048\nlora_rank: 8\nlora_alpha: 16\n", "LLaMA-Factory"),
        ("model_name_or_path: a/b\nuse_peft: true\nlora_r: 8\nmax_length: 2048\n", "TRL or the alignment handbook"),
    ],
)
def test_trainers_that_share_names_are_told_apart(text: str, name: str, tmp_path: Path) -> None:
    assert converted(text, tmp_path).trainer == name


@pytest.mark.parametrize(
    ("said", "steps"),
    [
        ("", 16),
        ("per_device_train_batch_size: 3\n", 6),
        ("per_device_train_batch_size: 32\n", 1),
        ("per_device_train_batch_size: 2\ngradient_accumulation_steps: 4\n", 4),
        ("per_device_train_batch_size: 0\n", 16),
    ],
)
def test_steps_that_follow_from_the_batch_are_counted(said: str, steps: int, tmp_path: Path) -> None:
    made = converted(f"{SWIFT}tuner_type: lora\n{said}", tmp_path)

    assert made.settings["training.gradient_accumulation_steps"].value == steps


ATTENTION, BESIDE, LIGER = "model.attn_implementation", "training.padding_free", "training.use_liger_kernel"
AXOLOTL = "base_model: a/b\nmicro_batch_size: 2\nsequence_len: 512\n"
FACTORY = "model_name_or_path: a/b\nstage: sft\nfinetuning_type: lora\ncutoff_len: 512\n"
OF_TRL = "model_name_or_path: a/b\nuse_peft: true\nmax_length: 512\n"


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        (f"{AXOLOTL}flash_attention: true\n", ATTENTION, "flash_attention_2"),
        (f"{AXOLOTL}flash_attention: false\n", ATTENTION, None),
        (f"{AXOLOTL}attn_implementation: flash_attention_3\n", ATTENTION, "flash_attention_3"),
        (f"{AXOLOTL}sdp_attention: true\n", ATTENTION, "sdpa"),
        (f"{AXOLOTL}xformers_attention: true\n", ATTENTION, None),
        (f"{AXOLOTL}batch_flattening: true\n", BESIDE, True),
        (f"{AXOLOTL}batch_flattening: auto\n", BESIDE, None),
        (f"{AXOLOTL}sample_packing: true\n", BESIDE, None),
        (f"{FACTORY}flash_attn: fa2\n", ATTENTION, "flash_attention_2"),
        (f"{FACTORY}flash_attn: disabled\n", ATTENTION, "eager"),
        (f"{FACTORY}flash_attn: auto\n", ATTENTION, None),
        (f"{FACTORY}neat_packing: true\n", BESIDE, None),
        (f"{FACTORY}enable_liger_kernel: true\n", LIGER, True),
        (f"{OF_TRL}use_liger_kernel: true\n", LIGER, True),
        (f"{SWIFT}tuner_type: lora\nattn_impl: flash_attn\n", ATTENTION, "flash_attention_2"),
        (f"{SWIFT}tuner_type: lora\nattn_impl: sdpa\n", ATTENTION, "sdpa"),
        (f"{SWIFT}tuner_type: lora\npadding_free: true\n", BESIDE, True),
        (f"{OF_TRL}attn_implementation: kernels-community/flash-attn2\n", ATTENTION, None),
        (f"{OF_TRL}padding_free: true\n", BESIDE, True),
        (f"{OF_TRL}packing: true\n", BESIDE, None),
    ],
)
def test_what_makes_it_fast_is_taken_over_where_it_means_the_same(
    text: str, key: str, value: object, tmp_path: Path
) -> None:
    made = converted(text, tmp_path)

    found = made.settings.get(key)
    assert (found.value if found else None) == value
    assert found or any(text.splitlines()[-1].partition(":")[0] in line for line in made.without)
    package = {"flash_attention_2": "flash-attn", "flash_attention_3": "flash-attn-3"}.get(str(value))
    package = "liger-kernel" if key == LIGER else package
    assert [line for line in made.text.splitlines() if "needs a card" in line] == (
        [line for line in made.text.splitlines() if f"needs a card and {package}, or take it out (docs/gpu.md)" in line]
    )
    assert ("needs a card and" in made.text) == (package is not None)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("[rows.jsonl]", ""),
        ("rows.jsonl", ""),
        ("['rows.jsonl#500']", "a part of a file is drawn"),
        ("[a.jsonl, 'b.jsonl#2']", "a part of a file is drawn"),
        ("[a.jsonl, b.jsonl]", "puts several into one"),
        ("[]", "puts several into one"),
        ("[someone/rows]", "hf://datasets/someone/rows@COMMIT"),
    ],
)
def test_rows_are_one_file_taken_whole(rows: str, says: str, tmp_path: Path) -> None:
    made = converted(f"tuner_type: lora\nlora_rank: 8\nmodel: a/b\ndataset: {rows}\n", tmp_path)

    told = "\n".join(line for line in made.without if line.startswith("dataset: "))
    assert ("data.train_file" in made.settings) == (not says)
    assert (says in told) if says else not told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no settings"),
        ("[1, 2]", "holds no settings"),
        ("a: 1\nb: {c: 2}\n", "config convert --from NAME, one of axolotl, llamafactory"),
        ("a: [", "cannot be read as YAML"),
        ("lora_r: 8\nlora_r: 16\n", "written twice"),
        ("a: &x 1\nb: *x\n", "write the value out"),
    ],
)
def test_what_is_not_a_trainers_file_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        converted(text, tmp_path)


def test_an_unknown_trainer_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Name one of axolotl"):
        converted("lora_r: 8", tmp_path, "torchtune")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    to = tmp_path / "release.yaml"
    to.write_text("mine", "utf-8")

    with pytest.raises(ConfigError, match="there already"):
        list(foreign.to_file(GIVEN[0], to, None))
    assert to.read_text("utf-8") == "mine"


@given(st.text(), st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.lists(st.text(), max_size=3)))
def test_no_value_of_a_key_breaks_out_of_its_line(name: str, value: object) -> None:
    file = tree.File(
        path=Path("given.yaml"), tree={"lora_r": 8, "hub_model_id": value, name: value}, lines={}, problems=()
    )
    made = foreign.convert(file, "axolotl")
    lines = made.text.splitlines()

    assert all(line.startswith(("#", " ")) or line.endswith(":") or line == "" for line in lines)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("hub_model_id", "Did you mean publishing.hf_repo?"),
        ("base_model", "Did you mean model.base_model_id?"),
        ("lora_alpha", "Did you mean adapter.lora.alpha?"),
        ("num_epochs", "Did you mean training.num_train_epochs?"),
        ("iters", "Did you mean training.max_steps?"),
        ("training.batch_size", "Did you mean training.per_device_train_batch_size?"),
        ("training.optimizer", "Did you mean training.optim?"),
        ("adapter.lora.rank", "Did you mean adapter.lora.r?"),
        ("load_in_8bit", "never in 8. Take it out."),
        ("training.learning_rat", "Did you mean training.learning_rate?"),
        ("generation.max_new_token", "Did you mean generation.max_new_tokens?"),
        ("trianing", "Did you mean training?"),
    ],
)
def test_a_suggestion_goes_by_meaning_first_and_then_by_spelling(key: str, says: str) -> None:
    section, _, name = key.rpartition(".")

    assert messages.unknown(section, name).endswith(says)


def test_a_trainers_file_in_the_place_of_a_release_yaml_is_told_how_to_convert_it() -> None:
    path = FILES / "axolotl.yml"

    with pytest.raises(ConfigError) as refused:
        reading.load(path)

    assert refused.value.problems[0].startswith(f"{path} is written for Axolotl: `adapter-release config convert")


@pytest.mark.parametrize(
    ("text", "learn"),
    [
        ("finetuning_type: lora\nlora_rank: 8\ncutoff_len: 512\n", "all"),
        ("finetuning_type: lora\nlora_rank: 8\nmask_history: true\n", "last"),
        ("tuner_type: lora\nloss_scale: last_round\n", "last"),
        ("tuner_type: lora\nloss_scale: hermes\n", "all"),
        ("iters: 10\nnum_layers: 4\nmask_prompt: true\n", "last"),
        ("iters: 10\nnum_layers: 4\n", "all"),
        ("micro_batch_size: 1\nsequence_len: 512\n", "all"),
    ],
)
def test_which_answers_of_a_conversation_are_learned_goes_with_the_file(tmp_path: Path, text: str, learn: str) -> None:
    assert f"learn: {learn}" in converted(text, tmp_path).text

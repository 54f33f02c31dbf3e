"""docs/record.md, which is made of the record's schema and of the list of a release's files."""

import json
import re

from jsonschema import Draft202012Validator

import schemas
from release.values import layout
from tests.helpers import record_page
from tests.helpers.line import ROOT

TOLD_BY_THEIR_NAMES = re.compile(
    r"amount|base_model_id|batch_size|bnb_4bit_\w+|chat_template_sha256|commit|compute_capability|constraint|currency|"
    r"deterministic_algorithms|device|do_sample|dtype|id|load_in_4bit|max_new_tokens|name|rows|seed|sha256|shape|steps|"
    r"tag|tokens?|trainable_parameters|version"
)
RELEASES = ROOT / "tests" / "data" / "releases"


def test_the_page_is_as_it_is_made() -> None:
    assert record_page.written() == record_page.PAGE.read_text("utf-8"), "run `python -m tests.helpers.record_page`"


def test_every_field_of_a_kept_record_has_a_line() -> None:
    """As far as the schema names fields: what stands under names that a model or a machine chose has none."""
    shown = set(re.findall(r"^\| `([\w.\[\]]+)` \|", record_page.fields(), re.MULTILINE))
    record = json.loads((RELEASES / "v2" / "release.json").read_bytes())

    assert record.keys() <= shown
    assert record["generation"].keys() | record["training"].keys() <= shown
    assert {f"decoding.{name}" for name in record["generation"]["decoding"]} <= shown


def test_every_file_of_a_kept_release_has_a_line_or_is_a_part_of_the_adapter() -> None:
    there = {path.relative_to(RELEASES / "v2").as_posix() for path in (RELEASES / "v2").rglob("*") if path.is_file()}
    adapter = json.loads((RELEASES / "v2" / "release.json").read_bytes())["adapter"]["files"]

    assert there - adapter.keys() <= {file.name for file in layout.FILES}
    assert all(f"| `{file.name}` |" in record_page.files() for file in layout.FILES)


def test_a_field_without_a_description_is_one_whose_name_is_enough() -> None:
    silent = set(re.findall(r"^\| `[\w.\[\]]*?(\w+)` \| [^|]+ \| [^|]+ \|  \|$", record_page.fields(), re.MULTILINE))

    assert [name for name in silent if not TOLD_BY_THEIR_NAMES.fullmatch(name)] == []


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(schemas.load("record"))

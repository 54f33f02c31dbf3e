"""Which licence an adapter may carry over its base model's: the Hub's licence names, and what each asks.

A help against slips, not legal advice: where a licence has terms of its own, only the same name passes.
"""

from collections.abc import Iterator

_TABLE = """
permissive:
    afl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 ecl-2.0 etalab-2.0 isc mit ms-pl ncsa odc-by
    ofl-1.1 openmdw-1.0 pddl postgresql unlicense wtfpl zlib
the same terms:
    agpl-3.0 cc-by-sa-3.0 cc-by-sa-4.0 cdla-sharing-1.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 gfdl gpl gpl-2.0
    gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 lgpl-lr mpl-2.0 odbl osl-3.0
non-commercial:
    cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
    fair-noncommercial-research-license
no derivatives:
    cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nd-4.0
its own terms:
    apple-amlr apple-ascl bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m c-uda cc
    creativeml-openrail-m deepfloyd-if-license gemma grok2-community h-research intel-research llama2 llama3
    llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c openrail openrail++ other unknown
"""


def _kinds() -> Iterator[tuple[str, str]]:
    kind = ""
    for line in _TABLE.strip().splitlines():
        if line.endswith(":"):
            kind = line.rstrip(":")
        else:
            yield from ((name, kind) for name in line.split())


KINDS = dict(_kinds())
"""Each of the Hub's licence names, and what it asks of what is made of the work."""


def problem(base: str | None, adapter: str) -> str:
    """Why an adapter over a base under ``base`` may not be published under ``adapter``; empty if it may."""
    if adapter not in KINDS:
        return f"publishing.license is '{adapter}', no licence name of the Hub's. Write one, such as apache-2.0."
    kind = "permissive" if base is None else KINDS.get(base, "its own terms")
    said = f"the base model's licence is '{base}', publishing.license is '{adapter}'"
    if kind == "permissive" or (kind == "non-commercial" and KINDS[adapter] == kind):
        return ""
    if kind == "no derivatives":
        return f"{said}: the base allows no derivatives, so no adapter over it may be published. Take another base."
    if adapter == base:
        return ""
    if kind == "non-commercial":
        return f"{said}: the base is for non-commercial use only, and so is what is made of it. Write '{base}'."
    return f"{said}: the base's terms go with what is made of it. Write '{base}', or take another base."

"""Evaluation-gated releases of LoRA adapters: the bytes that were judged are the bytes that are published.

A release is a straight line of functions, each from one frozen value to the next. `release.pipeline` is that line:

    config = reading.load(Path("release.yaml"))             # Config; every wrong key and value named at once
    found = inputs.load(config, say)                        # Inputs: rows, answer format, policy, base outline
    with address.of(config).opened() as hub:                # what a process needs to speak to that Hub
        before = preflight.check(found, hub, say)           # previous releases; what would fail after hours
        judged = pipeline.check_data(found, say)            # Judged: the data gate, the self-test of the gates
        judged = replace(judged, before=before)
        made, run = pipeline.make(config, judged, say)      # Candidate, and its run folder
        packed = pipeline.accept(config, made, run, say)    # only what passed can be a Package
        packed = sign.sign(packed, config.publishing, run)  # the same, signed where that is wanted
        publication = pipeline.publish(config.publishing, packed, run, hub, say)  # one commit, and the tag

and within `pipeline.make`:

    begun = begin.begin(config, judged, say)                # Begun: the run folder, the base, and the place for stages
    adapter = begin.adapter(begun, judged, say)             # Adapter, by a process of its own
    generate(run, base, adapter, place, say)                # a fresh process loads the saved bytes and answers
    alone = derive.alone(terms, answers, base_answers)      # Alone: the verdict, and the base beside it
    beside = derive.beside(terms, answers, judged.before)   # Beside: the comparisons with previous releases

and afterwards, for anybody who holds the release, the same `derive` over its files, compared byte for byte:

    steps = verify.check(opening.Opened(release=Released(folder=folder)))

To read, in this order: `release.pipeline`; the values in `release.values.artifacts` and `release.values.record`, and
what a release holds in `release.values.layout`; `release.judging.derive` and `release.checking.verify`; then the wing
that you came for. Each wing's first line says what it is for; docs/architecture.md lists every room, draws who imports
whom, and says where trust enters. `gates` is a package of its own, and so is `hub_folder`; neither knows `release`.

`say` takes what stages tell (`release.values.events`). A ``Stop`` (`release.values.errors`) is every way to end, with a
message and an exit code. `release.running.child` starts processes, and `release.running.place` says where. torch and
its like are imported in `release.models`, huggingface_hub in `release.hub`, Docker in
`release.running.container`. All of this may move between versions: docs/versions.md says what does not.
"""

__version__ = "0.1.0"

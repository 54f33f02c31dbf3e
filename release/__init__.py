"""Evaluation-gated releases of LoRA adapters: the bytes that were judged are the bytes that are published.

A release is a straight line of functions, each from one frozen value to the next:

    config = reading.load(Path("release.yaml"))       # release.config: every problem at once
    found = inputs.load(config, say)                  # rows, answer format, policy, base outline: looked at once
    before = preflight.check(found, hub, say)         # what would fail after hours, in seconds
    judged = pipeline.check_data(found, say)          # the data gate, and the self-test of the gates
    candidate, run = pipeline.make(config, judged, say)
    packed = pipeline.accept(config, candidate, run, say)    # only what passed can be a Package
    publication = pipeline.publish(config.publishing, packed, run, hub, say)

`pipeline.release` is just that. Within `pipeline.make`:

    base = bases.resolve(config.model, say)           # release.models: a base model on this disk, checked
    adapter = train(run, base, place, say)            # a child process, here or in an image
    generate(run, base, adapter, place, say)          # a fresh process loads the saved bytes and answers
    alone = derive.alone(terms, answers, base_answers)       # verdict, and the comparison with the base
    beside = derive.beside(terms, answers, releases)         # the comparisons with previous releases

And afterwards, for anybody who holds the release:

    steps = verify.check(verify.Opened(release=Released(folder=folder)))

Read `release.pipeline` first, then `release.values` (what stages hand on) and the wing that you came for: `data`,
`models`, `judging`, `publishing`, `checking`. `docs/architecture.md` lists every room, draws who imports whom, and says
where trust enters. `gates` is a package of its own, and so is `hub_folder`, the embedded Hub; neither knows `release`.

`say` takes what stages tell (`release.values.events`); `place` is where a stage runs (`release.running.place`); a
``Stop`` (`release.values.errors`) is every way to end with a message and an exit code.
"""

__version__ = "0.1.0"

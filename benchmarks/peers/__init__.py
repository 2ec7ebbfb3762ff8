"""Other systems at the same work; each module needs the one that it is named for.

Each is a class like ``benchmarks.plain.ByHand``: made of a task, copies of its models and the order
of the batches, it trains for an epoch and gives the seconds of the epoch's iterations. Where it has
a stream, it shows there what it shows by default, or as its own guide has it.
"""

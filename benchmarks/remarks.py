"""What the page says besides numbers."""

INTRODUCTION = r"""
# How fast it is

Seconds say little about another machine, and a busy one is slow. So each figure is a ratio to a yardstick that was
measured in the same run, in turns with it: the median of the rounds, and in brackets the least and the most.
`make bench` measures again and writes this page (`make bench ARGS="--only updates"` some of it, `make bench ARGS=--gpu`
where there is a GPU, `--movie FILE.h5` with a movie of yours; the simulated one is the same each time).

- **P**: a forward pass of the detection network, written in plain PyTorch with the same weights, over a whole
  timepoint; float32, evaluation, no gradients, PyTorch's own order of memory, all cores.
- **T**: forward, loss, backward and a step of Adam of the same on one crop that is in memory already.
- **P\* and T\***: the same with memory kept: what was freed stays with the process and is used again, as the server
  does it, so that nothing is won by comparing with a yardstick that asks the system for the same memory in each layer.
- **M**: reading a timepoint with NumPy from an uncompressed file that is in the page cache.
- **Floors**: the operations of a pass' convolutions at the highest rate that a convolution reaches on the machine; for
  a training step three times as many, since the gradients of weights and inputs are convolutions, too.

That the plain networks compute what the project's do is checked before they are timed. Each runs in a process of its
own, since how memory is handed out is a matter of a whole process.

`python -m benchmarks.equality --movie FILE.h5` says how much bfloat16 changes what is found, and `python -m
benchmarks.learning FILE.h5 FILE.truth.json --precision float32 bfloat16` whether it learns as well.
`python -m benchmarks.learning figures` tells how well it knows and learns, whatever the speed: F1 before any annotation
and after a few, what is left of the motion, how many errors a review lists first, over HTTP with the client's own
requests; `--off all` tells the same with the parts switched off that make it so, `--help` more.

A figure belongs to its processor. What was measured on other machines stays here until somebody takes it out of
`benchmarks.json`; goals are those of the day on which a figure was measured.
"""

TITLES = {"cpu": "On a processor", "gpu": "On a GPU"}

SIDE_BY_SIDE = "The medians of all machines side by side; spreads, numbers and reasons follow for each of them."

NO_GPU = "There is no measurement yet: `make bench ARGS=--gpu` on a machine with one adds it here."

AFTERWORD = """
A timepoint's prediction costs what the network costs, so time grows with the voxels; memory of a conversion does not
grow with the movie, since no process holds more than one file's worth of it.
"""

# Shown where a goal was not reached: what is missing, and why. By the processor, and by the row.
_REMARKS = {
    "AMD EPYC (family 26, model 2)": {
        "served-training-96": "By a server that had done nothing before, these rows alone: 0.62.",
    },
}
_ON_ALL = {
    "conversion": "Values are also compressed again and written, by as many processes as there are cores; where other "
    "programs run, decoding alone in one process loses less by them.",
    "equality-centres": "One voxel at the threshold, more or less, moves the centre of a small nucleus by more; nine "
    "of ten move by less.",
    **dict.fromkeys(
        (f"{row}-{isa}" for row in ("network-detection", "seg-predict") for isa in ("avx512", "avx2")),
        "Measured on a day on which memory between arrays was returned before the largest layers, a tenth of the time; "
        "now only where memory is scarce.",
    ),
    "gpu-floor": "It multiplies more than it reads: the products of a pass alone take 2.4 floors at the rate of large "
    "matrices. The convolutions reach two fifths of that rate; normalising and pooling, which are passes of their own, "
    "take a quarter of the time.",
    "gpu-whole-movie": "The network waits for what lies beside it in one process: copies to and from the GPU, and what "
    "of reading and extracting holds Python's lock.",
    "gpus-training": "The polls themselves take about 1% of a core; what is more is noise: see the spread.",
    "network-detection": "The convolutions, 85% of it, run at the highest rate that the processor has.",
    "training-96": "The convolutions alone, at the highest rate that the processor has, would take 0.27 T*.",
    "served-training-96": "As of the step alone.",
    "served-training-worked-96": "As of the step alone.",
    "seg-predict": "The client's default `is_pad` makes 1.27 times the voxels; little is left beside the network.",
    "flow-predict": "Nearly all of it is the network, whose convolutions run at the processor's highest rate.",
    "seg-update": "Most of it is drawing the ellipsoids and compressing labels and their colours; the rest the request "
    "and the disk.",
    "seg-update-background": "As above; the whole image is read and compared with the threshold besides.",
    "disk": "Most of it are outputs: probabilities and flow are noise to a codec where the network is unsure.",
}


def remark(processor: str, key: str) -> str:
    """Return what is missing in a row, and why; nothing where nobody has found out yet."""
    return _REMARKS.get(processor, {}).get(key, _ON_ALL.get(key, ""))

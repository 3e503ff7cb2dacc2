"""What the curves of a folder of logs are called."""

from collections.abc import Collection, Mapping, Sequence

from elephant.training.scalars import SCALAR_NAMES

_DETECTION, _FLOW = "detection", "flow"
# Of scalars that only one kind of training has.
_KINDS = {"nll_loss": _DETECTION, "center_dice_loss": _DETECTION, "instance_loss": _FLOW, "SSIM_loss": _FLOW}
# Below these, an earlier version of this server wrote the values by their own names: `seg/loss` for `train_loss`.
_PREFIXES = {"seg": _DETECTION, "flow": _FLOW}
_NO_CURVES = frozenset({"seg/epoch", "flow/epoch"})


def curve_names(files: Sequence[Collection[str]]) -> list[Mapping[str, str]]:
    """Return, for each file, which of its scalars belongs to which curve.

    Earlier names continue in today's. Detection and flow share some names: where both wrote into one folder, the name
    of each curve tells the two apart.

    Parameters
    ----------
    files
        The names of the scalars in each file.
    """
    kinds = [_kind_of(tags) for tags in files]
    are_mixed = len(set(filter(None, kinds))) > 1
    return [
        {
            tag: f"{_current(tag)} ({kind})" if are_mixed and kind else _current(tag)
            for tag in tags
            if tag not in _NO_CURVES
        }
        for tags, kind in zip(files, kinds, strict=True)
    ]


def _kind_of(tags: Collection[str]) -> str:
    """Return the kind of training that wrote a file; empty where that is not known."""
    found = (_PREFIXES.get(tag.partition("/")[0], "") if "/" in tag else _KINDS.get(tag, "") for tag in sorted(tags))
    return next(filter(None, found), "")


def _current(tag: str) -> str:
    prefix, _, name = tag.partition("/")
    return SCALAR_NAMES.get(name, tag) if prefix in _PREFIXES else tag

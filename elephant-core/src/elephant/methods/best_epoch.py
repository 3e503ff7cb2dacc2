"""Which epoch of a training is the best, judged by what is held out of it, and what a person should know of it."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

from elephant.evaluation.counts import Counts
from elephant.methods.judging import Judge, Judgement
from elephant.models.checkpoint import StateDict
from elephant.models.ensemble import Ensemble
from elephant.models.provenance import HeldOutScore, ProvenanceEntry, finite
from elephant.progress import CancelToken

logger = logging.getLogger(__name__)

MOST_POINTS = 100  # of a curve
_PATIENCE = 5  # epochs without a better one before it is said
_LARGE_FALL = 0.1  # of the F1


@dataclass(frozen=True, slots=True)
class JudgedEpoch:
    """A state of the model that was judged.

    Attributes
    ----------
    epoch
        How many epochs it has learnt, 0 before the first.
    judgement
        How it did.
    members
        The weights of its networks.
    entry
        The provenance of the training as of then.
    """

    epoch: int
    judgement: Judgement
    members: Sequence[StateDict]
    entry: ProvenanceEntry

    @property
    def f1(self) -> float:
        """Its F1; 0 where nothing counts."""
        return _f1(self.judgement.counts)


class BestEpoch:
    """Keeps the best of the epochs that are judged.

    Of epochs that are equally good it keeps the last: it has learnt the most of what is not held out.

    Parameters
    ----------
    judge
        Judges the model.
    model
        What is trained; it is judged as it is now, before it learns.
    entry
        The provenance of the training as it begins.
    cancel
        May end the training.
    """

    def __init__(self, judge: Judge, model: Ensemble, entry: ProvenanceEntry, cancel: CancelToken) -> None:
        self.judge = judge
        self._model, self._cancel = model, cancel
        self.start = self.last = self._judged(entry)
        self.best: JudgedEpoch | None = None
        self._curve = [(self.start.epoch, round(self.start.f1, 4))]
        self._better_at, self._said_after = 0, _PATIENCE
        self._has_warned = False

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """The F1 after some of the epochs."""
        stride = math.ceil(len(self._curve) / MOST_POINTS)
        return tuple(self._curve[::-stride][::-1])

    def after(self, entry: ProvenanceEntry, *, is_final: bool = False) -> HeldOutScore | None:
        """Judge the model after an epoch, where it is time to; return how good it is.

        Parameters
        ----------
        entry
            The provenance of the training now.
        is_final
            Whether it is the last epoch, which is always judged.

        Raises
        ------
        elephant.errors.Cancelled
            The training was ended.
        """
        if entry.epochs % self.judge.every and not is_final:
            return None
        judged = self._judged(entry)
        self._curve.append((judged.epoch, round(judged.f1, 4)))
        highest = -math.inf if self.best is None else self.best.f1
        if judged.f1 > highest:
            self._better_at, self._said_after, self._has_warned = judged.epoch, _PATIENCE, False
        if judged.f1 >= highest:
            self.best = judged
        self.last = judged
        score = score_of(judged.judgement.counts)
        logger.info("Epoch %d: %s (precision %s, recall %s)", judged.epoch, score, *_shown(score))
        self._say(judged)
        return score

    def kept(self) -> JudgedEpoch | None:
        """Return what should stay in the model file in place of the last epoch; none if that is as good as any."""
        if self.best is None:
            return None
        if self._is_far_below(self.best.f1, self.start.f1):
            return self.start
        return None if self.last is self.best else self.best

    def _judged(self, entry: ProvenanceEntry) -> JudgedEpoch:
        judgement = self.judge.judge(self._model, self._cancel)
        scored = entry.model_copy(update={"held_out": score_of(judgement.counts)})
        members = [{key: value.detach().cpu().clone() for key, value in m.items()} for m in self._model.state_dicts()]
        return JudgedEpoch(entry.epochs, judgement, members, scored)

    def _is_far_below(self, f1: float, other: float) -> bool:
        return other - f1 > max(_LARGE_FALL, 1 / max(self.judge.n_nuclei, 1))

    def _say(self, judged: JudgedEpoch) -> None:
        """Say in words what a person should know."""
        best = self.best or judged
        if not self._has_warned:
            self._has_warned = self._warn(judged, best)
        if judged.epoch - self._better_at >= self._said_after and not self._has_warned:
            top = best.entry.held_out
            logger.info("%s; no better for %d epochs: annotate elsewhere", top, judged.epoch - self._better_at)
            self._said_after = 2 * (judged.epoch - self._better_at)

    def _warn(self, judged: JudgedEpoch, best: JudgedEpoch) -> bool:
        """Warn where the model has become worse; tell whether it has."""
        earlier, before = judged.judgement.earlier, self.start.judgement.earlier
        if earlier.n_true and self._is_far_below(_f1(earlier), _f1(before)):
            logger.warning(
                "Disagreement with earlier annotations: on %d held-out nuclei of timepoints that were annotated "
                "before, F1 fell from %.2f to %.2f since this training began: check the newest annotations",
                *(earlier.n_true, _f1(before), _f1(earlier)),
            )
            return True
        reference = max((self.start, best), key=lambda one: one.f1)
        if self._is_far_below(judged.f1, reference.f1) and judged.epoch > reference.epoch:
            logger.warning(
                "F1 on %d held-out nuclei fell from %.2f (epoch %d) to %.2f (epoch %d): the model overfits, or some "
                "annotations are wrong. What was best is kept.",
                *(self.judge.n_nuclei, reference.f1, reference.epoch, judged.f1, judged.epoch),
            )
            return True
        return False


def score_of(counts: Counts) -> HeldOutScore:
    """Return counts as a score for the provenance."""
    shares = {name: finite(getattr(counts, name)) for name in ("f1", "precision", "recall")}
    return HeldOutScore(n_nuclei=counts.n_true, **{k: None if v is None else round(v, 4) for k, v in shares.items()})


def _shown(score: HeldOutScore) -> tuple[str, str]:
    shares = (score.precision, score.recall)
    one, other = ("-" if share is None else f"{share:.2f}" for share in shares)
    return one, other


def _f1(counts: Counts) -> float:
    return counts.f1 if counts.n_true + counts.n_found else 0.0

"""Which epoch of a training is the best, judged by what is held out of it, and what a person should know of it."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

from elephant.methods.judging import AnyJudge, Judgement
from elephant.models.checkpoint import StateDict
from elephant.models.ensemble import Ensemble
from elephant.models.provenance import HeldOutFigure, HeldOutScore, ProvenanceEntry
from elephant.progress import CancelToken

logger = logging.getLogger(__name__)

MOST_POINTS = 100  # of a curve
_PATIENCE = 5  # epochs without a better one before it is said
_LARGE_FALL = 0.1  # of the F1, or a rise of the distance left


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
    def goodness(self) -> float:
        """How good it is; higher is better."""
        return self.judgement.score.goodness


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

    def __init__(self, judge: AnyJudge, model: Ensemble, entry: ProvenanceEntry, cancel: CancelToken) -> None:
        self.judge = judge
        self._model, self._cancel = model, cancel
        self.start = self.last = self._judged(entry)
        self.best: JudgedEpoch | None = None
        self._curve = [(self.start.epoch, round(self.start.judgement.score.value, 4))]
        self._better_at, self._said_after = 0, _PATIENCE
        self._has_warned = False
        self._said: dict[int, str] = {}

    @property
    def said(self) -> tuple[str, ...]:
        """What a person should know of the training as it is now, in sentences."""
        return tuple(self._said.values())

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """The value of the figure after some of the epochs."""
        stride = math.ceil(len(self._curve) / MOST_POINTS)
        return tuple(self._curve[::-stride][::-1])

    @property
    def figure(self) -> HeldOutFigure:
        """Which figure that is."""
        return self.start.judgement.score.figure

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
        score = judged.judgement.score
        self._curve.append((judged.epoch, round(score.value, 4)))
        highest = -math.inf if self.best is None else self.best.goodness
        if judged.goodness > highest:
            self._better_at, self._said_after, self._has_warned = judged.epoch, _PATIENCE, False
            self._said.clear()
        if judged.goodness >= highest:
            self.best = judged
        self.last = judged
        logger.info("Epoch %d: %s%s", judged.epoch, score, _more(score))
        self._say(judged)
        return score

    def kept(self) -> JudgedEpoch | None:
        """Return what should stay in the model file in place of the last epoch; none if that is as good as any."""
        if self.best is None:
            return None
        if self._is_far_below(self.best.goodness, self.start.goodness):
            return self.start
        return None if self.last is self.best else self.best

    def _judged(self, entry: ProvenanceEntry) -> JudgedEpoch:
        judgement = self.judge.judge(self._model, self._cancel)
        scored = entry.model_copy(update={"held_out": judgement.score})
        members = [{key: value.detach().cpu().clone() for key, value in m.items()} for m in self._model.state_dicts()]
        return JudgedEpoch(entry.epochs, judgement, members, scored)

    def _is_far_below(self, goodness: float, other: float) -> bool:
        return other - goodness > max(_LARGE_FALL, 1 / max(self.judge.n_nuclei, 1))

    def _say(self, judged: JudgedEpoch) -> None:
        """Say in words what a person should know."""
        best = self.best or judged
        if not self._has_warned and (worse := self._worse(judged, best)):
            self._has_warned = True
            self._tell(logging.WARNING, worse)
        stalled = judged.epoch - self._better_at
        if stalled >= self._said_after and not self._has_warned:
            self._tell(logging.INFO, f"{best.entry.held_out}; no better for {stalled} epochs: annotate elsewhere")
            self._said_after = 2 * stalled

    def _tell(self, level: int, sentence: str) -> None:
        self._said[level] = sentence  # in place of an earlier one of its kind
        logger.log(level, "%s", sentence)

    def _worse(self, judged: JudgedEpoch, best: JudgedEpoch) -> str:
        """Return in which way the model has become worse; empty where it has not."""
        earlier, before = judged.judgement.earlier, self.start.judgement.earlier
        if earlier and before and self._is_far_below(earlier.goodness, before.goodness):
            return (
                f"Disagreement with earlier annotations: on {earlier.what} of timepoints that were annotated before, "
                f"{_change(before, earlier)} since this training began: check the newest annotations"
            )
        reference = max((self.start, best), key=lambda one: one.goodness)
        if self._is_far_below(judged.goodness, reference.goodness) and judged.epoch > reference.epoch:
            then, now = reference.judgement.score, judged.judgement.score
            change = _change(then, now, f" (epoch {reference.epoch})", f" (epoch {judged.epoch})")
            return f"On {now.what}, {change}: the model overfits, or some annotations are wrong. What was best is kept."
        return ""


def _change(then: HeldOutScore, now: HeldOutScore, when: str = "", later: str = "") -> str:
    """Say how much worse a model has become."""
    words = "F1 fell" if now.figure == "f1" else "the distance left rose"
    return f"{words} from {then.value:.2f}{when} to {now.value:.2f}{later}"


def _more(score: HeldOutScore) -> str:
    """Return what else is known of nuclei, in words."""
    if score.figure != "f1":
        return " (1 is no flow)"
    precision, recall = ("-" if share is None else f"{share:.2f}" for share in (score.precision, score.recall))
    return f" (precision {precision}, recall {recall})"

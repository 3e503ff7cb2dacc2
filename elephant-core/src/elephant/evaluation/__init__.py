"""How well found nuclei and tracks agree with true ones."""

from elephant.config import EvaluationParams
from elephant.evaluation.counts import Counts
from elephant.evaluation.evaluation import Evaluation, evaluate_nuclei
from elephant.evaluation.matching import Matching, TimepointScores, match_by_distance, match_by_overlap
from elephant.evaluation.tracks import DivisionScores, compare_divisions, compare_links

__all__ = [
    "Counts", "DivisionScores", "Evaluation", "EvaluationParams", "Matching", "TimepointScores", "compare_divisions",
    "compare_links", "evaluate_nuclei", "match_by_distance", "match_by_overlap",
]  # fmt: skip

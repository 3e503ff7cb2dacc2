"""Tracked nuclei as the spots of the server's requests: what our own commands and the server read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elephant.export.base import Exporter, Report, TrackedMovie, TrackedNucleus
from elephant.progress import CancelToken, ProgressReporter
from elephant.words import counted

_EVERY = 10_000


class JsonExporter(Exporter):
    """``{"spots": [...]}``, with the nuclei as they came, in whatever format that was."""

    endings = (".json",)
    needs_voxel_size = False

    def export(self, movie: TrackedMovie, place: Path, reporter: ProgressReporter, cancel: CancelToken) -> Report:
        """Write the spots, one in a line."""
        nuclei = movie.chosen()
        shift = movie.first_number - movie.params.t_start
        with place.open("w", encoding="utf-8", newline="\n") as file:
            file.write('{\n "spots": [')
            for done, nucleus in enumerate(nuclei, start=1):
                file.write(("\n  " if done == 1 else ",\n  ") + json.dumps(_fields(nucleus, shift)))
                if done % _EVERY == 0 or done == len(nuclei):
                    cancel.check()
                    reporter.progress("nucleus", done, len(nuclei))
            file.write('\n ],\n "completed": true\n}\n' if nuclei else '],\n "completed": true\n}\n')
        n_left_out = len(movie.nuclei) - len(nuclei)
        others = f"; {n_left_out} at other timepoints left out" if n_left_out else ""
        words = counted(len(nuclei), "nucleus", "nuclei") + others
        return Report(words, {"nuclei": len(nuclei), "left_out": n_left_out})


def _fields(nucleus: TrackedNucleus, shift: int) -> Mapping[str, Any]:
    spot = nucleus.spot
    fields = {
        "t": nucleus.t + shift,
        "id": nucleus.id,
        "pos": spot.pos[::-1].tolist(),
        "covariance": spot.covariance[::-1, ::-1].ravel().tolist(),
        "tag": None if nucleus.tag is None else nucleus.tag.value,
        "quality": nucleus.quality,
        "earlier": None if nucleus.earlier is None else nucleus.earlier[::-1].tolist(),
        "parent": nucleus.parent,
        "track": nucleus.track,
        "value": nucleus.value,
    }
    return {name: value for name, value in fields.items() if value is not None}

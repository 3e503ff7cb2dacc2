"""Tracks as a table: a line for each nucleus, in the order of tracks and timepoints, physical."""

import csv
from pathlib import Path

from elephant.errors import InvalidInputError
from elephant.export.base import Exporter, Report, TrackedMovie
from elephant.progress import CancelToken, ProgressReporter


class CsvTracks(Exporter):
    """Writes the columns track, t, x, y and z."""

    endings = (".csv",)
    needs_voxel_size = False  # positions are physical already

    def export(self, movie: TrackedMovie, place: Path, reporter: ProgressReporter, cancel: CancelToken) -> Report:
        """Write the table."""
        chosen = movie.chosen()
        lacking = sum(nucleus.track is None for nucleus in chosen)
        if lacking:
            raise InvalidInputError(f"expected each nucleus to have a track, got {lacking} without: join them first")
        shift = movie.first_number - movie.params.t_start
        rows = sorted((n.track, n.t + shift, *n.spot.pos[::-1].tolist()) for n in chosen)
        with place.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["track", "t", "x", "y", "z"])
            for done, row in enumerate(rows, start=1):
                cancel.check()
                writer.writerow(row)
                reporter.progress("nucleus", done, len(rows))
        n_tracks = len({row[0] for row in rows})
        return Report(f"{len(rows)} nuclei in {n_tracks} tracks", {"nuclei": len(rows), "tracks": n_tracks})

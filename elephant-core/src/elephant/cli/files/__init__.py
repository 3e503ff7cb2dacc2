"""Files of spots, JSON and CSV: what one command writes, another reads."""

from elephant.cli.files.parts import read_all_spots
from elephant.cli.files.reading import read_spots
from elephant.cli.files.records import SpotRecord, links_of, record_of, spot_of
from elephant.cli.files.writing import check_output, write_spots

__all__ = [
    "SpotRecord", "check_output", "links_of", "read_all_spots", "read_spots", "record_of", "spot_of", "write_spots",
]  # fmt: skip

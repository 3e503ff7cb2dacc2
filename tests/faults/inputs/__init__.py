"""Bad inputs: requests that must be refused in good time, with a reason, and leave everything as it was."""

from faults.cases import Case
from faults.inputs import addresses, bodies, fields, models, movie, movies, names, stored, uploads, wire

_THEMES = (bodies, fields, names, movie, movies, models, addresses, stored, uploads, wire)

CASES: list[Case] = [case for theme in _THEMES for case in theme.CASES]

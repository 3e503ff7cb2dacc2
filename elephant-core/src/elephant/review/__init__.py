"""Where a person should look next: spots that may be wrong, places where a nucleus may be missing; worst first.

:mod:`suspects` finds the places without a spot, :mod:`figures` measures spots and suspects, :mod:`ranking` lists them
by the errors that are expected there, and :mod:`reviewing` does it for the timepoints of a dataset. :mod:`marking`
writes what a person says of them into the record of the dataset and into its labels, and :mod:`answers` reads it.
"""

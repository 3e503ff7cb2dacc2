"""The command `elephant`: the core's workflows for people without the client, for scripts and for clusters.

`main` finds the command, `framework` says what all commands have in common, `commands` declares their options and
`work` does their work. Only `work` and `health` may import PyTorch, and only when they are needed, so that
``elephant --help`` is there at once.
"""

import os
import signal
import sys

# Imported by the program `elephant` itself, and not by another that uses the command line.
# What takes long to import would come too late.
IS_PROGRAM = os.path.basename(sys.argv[0]) in {"elephant", "elephant.exe", "dataset_generator.py", "-m"}  # noqa: PTH119

if IS_PROGRAM and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until a command runs, Ctrl-C ends the process in silence: there is nothing to tidy up yet.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

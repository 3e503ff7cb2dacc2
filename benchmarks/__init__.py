"""How fast the server is, as ratios to what the same machine does in plain PyTorch and NumPy: ``make bench``.

:mod:`measuring` times things in turns, :mod:`yardsticks` are what everything is compared with, :mod:`yardstick_process`
where they run, :mod:`watching` looks at memory, :mod:`goals` is what is asked for, :mod:`movies` is what it is measured
on, :mod:`serving` runs a real server; each module that ends in ``rows`` measures some lines of the table,
:mod:`report` keeps them, and :mod:`page` shows them.
"""

# Before PyTorch is: it says how threads wait, and yardsticks are to suffer no more from other programs than the server.
import elephant as elephant

"""The pictures of the documentation, made anew by ``make docs-pictures``.

:mod:`story` does what the tutorial of the command line says, :mod:`drawing` and :mod:`tutorial` draw what came out,
:mod:`method` and :mod:`diagrams` explain how, and :mod:`screens` looks at it in a browser.
"""

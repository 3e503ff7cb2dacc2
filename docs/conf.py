"""How the documentation is made of these pages and of the code: ``make docs``.

Sphinx, MyST and Furo are well kept, need no network, and what they make needs none either.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from elephant import __version__ as release

project = "ELEPHANT server"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "_documenting"]
root_doc = "index"
exclude_patterns = ["_documenting", "_static", "_templates"]
templates_path = ["_templates"]
nitpicky = True  # a reference that leads nowhere is an error
nitpick_ignore = [("py:class", "ShippedNetwork")]  # of elephant-models, which has no reference of its own

myst_enable_extensions = ["colon_fence", "attrs_block", "attrs_inline"]
myst_heading_anchors = 4

# Notebooks run while the documentation is made, each in a folder of its own; what fails there is an error.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_show_tb = True

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_use_type_comments = False  # there are none, and looking for them takes a tenth of the time
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

copybutton_exclude = ".linenos, .gp, .go"
copybutton_selector = "div.highlight-sh pre, div.highlight-python pre, div.highlight-csv pre"

html_theme = "furo"
html_title = f"ELEPHANT server {release}"
html_static_path = ["_static"]
html_favicon = "../app/src/elephant_server/dashboard/static/icon.svg"
html_css_files = ["style.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False

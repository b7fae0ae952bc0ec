"""The documentation site: python -m sphinx -W docs build/site."""

from importlib.metadata import version as version_of

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

project = "cropmap"
author = "the cropmap developers"
version = release = version_of("cropmap")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
smartquotes = False  # two dashes of an option stay two
default_role = "code"
html_show_copyright = False
exclude_patterns = ["conf.py"]
html_theme = "furo"
html_title = "cropmap"
html_copy_source = False

myst_enable_extensions = ["attrs_block"]
myst_heading_anchors = 4  # pages link to headings of others

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

lexers["mermaid"] = TextLexer()  # the drawing needs a script from elsewhere; its text is readable

"""Sphinx: MyST pages, nitpicky."""

project = "eventsourcing-alchemy"
author = "The eventsourcing-alchemy authors"
project_copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# The others are included by a page.
exclude_patterns = ["_build", "explanation/performance"]
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_js_files = ["tables.js"]

default_role = "literal"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
napoleon_use_rtype = False

nitpicky = True
# There is no inventory to resolve them with: the build needs no network.
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(eventsourcing|sqlalchemy|collections|contextlib|datetime|threading|uuid)\..*",
    ),
    ("py:class", "(Meter|Tracer)Provider|Authenticate|Path|Starlette|pathlib.*"),
    # As docstrings name the library's errors.
    ("py:exc", r"\w+Error"),
    # Type variables are not documented.
    ("py:class", r"eventsourcing_alchemy(\.\w+)+\.(T[A-Z]\w+|[A-Z])"),
    # Nor is what recorders and subscriptions share.
    ("py:class", r"eventsourcing_alchemy\.(subscriptions|recorders\.registered)\..*"),
]

"""How the documentation is built.

sphinx-build -W --keep-going docs docs/_build/html
python -m http.server --bind 127.0.0.1 --directory docs/_build/html
"""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "extensions")]
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiles fast
os.environ.setdefault("PYTHONPATH", str(HERE.parent))  # of the notebooks' kernels

import ple_jax  # noqa: E402

project, author = "ple_jax", "the ple_jax developers"
version = release = ple_jax.__version__
copyright = author

extensions = [
    "docstrings",
    "gallery",
    "mathml",
    "names",
    "pages",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "extensions", "README.md", "**/.ipynb_checkpoints"]
nitpicky = True
# Names of other packages have no page here; ours must.
nitpick_ignore_regex = [(r"py:.*", r"(?!ple_jax\.).*")]
default_role = "code"

html_theme = "furo"
html_title = "ple_jax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 70
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

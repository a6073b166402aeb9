"""Run the demo: ``python -m git_history [--repo PATH]``."""

import sys

from git_history.demo import main

sys.exit(main())

"""`python -m vifsim` is the command line."""

import sys

from vifsim.cli import main

sys.exit(main())

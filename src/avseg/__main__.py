"""Entry point of `python -m avseg`, for launchers that start a module, such as torchrun."""

import sys

from avseg.cli.main import main

sys.exit(main())

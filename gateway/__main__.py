"""`python -m gateway` is the program `gateway`."""

import sys

from gateway.cli import main

sys.exit(main())

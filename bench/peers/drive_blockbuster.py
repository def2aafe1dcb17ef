"""Runs in blockbuster's environment: drives the applications and prints the names of those in which it raised."""

import json
import sys

from blockbuster import blockbuster_ctx
from drive import observe_all
from labelled_modules import read_corpus

seen = observe_all(sys.argv[1], read_corpus("session_corpus"), blockbuster_ctx)
raised = [name for name, told in seen.items() if any("BlockingError" in each for each in told)]
sys.stdout.write(json.dumps(raised))

"""The cycle-doc gate: each new revision has a review, of what it does now, by somebody who signed it."""

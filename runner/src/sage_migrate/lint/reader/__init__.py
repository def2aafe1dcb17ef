"""From a revision's Python to the statements it would send, by following its syntax tree; none of it is executed."""

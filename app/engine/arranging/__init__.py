"""From scored candidates to the items of an answer, in their order."""

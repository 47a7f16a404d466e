"""Rules of operators, in the terms of the catalogue."""

"""Learning from behaviour: signals, neighbour tables, the two-tower space and the scorer."""

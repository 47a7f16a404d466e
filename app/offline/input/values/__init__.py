"""How the cells of a column become values: numbers, dates, lists, and what is missing."""

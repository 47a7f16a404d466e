"""Reading what people bring: data files, recipes, and what was left out and why."""

"""Reading data files and recipes, and reporting which rows could not be used."""

"""The commands of `recserve`: their arguments, and what each does beside serving."""

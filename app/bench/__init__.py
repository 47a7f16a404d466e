"""`recserve bench`: what the model work of a bundle costs on this machine, without HTTP."""

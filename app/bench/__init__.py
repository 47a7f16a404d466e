"""`recserve bench`: measures the model work of a bundle on this machine, without HTTP."""

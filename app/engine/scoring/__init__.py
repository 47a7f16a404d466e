"""In which order candidates stand: the fixed blend and the learned scorer."""

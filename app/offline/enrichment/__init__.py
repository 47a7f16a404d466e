"""`recserve enrich`: a language model reads the items of a file and adds columns about each."""

"""A page in the browser: the cells on a map, questions, labels that are corrected by hand. On this machine alone."""

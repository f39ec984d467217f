"""From a label as people write it to a Cell Ontology term: tokens, an index of names, shorter readings, a resolver."""

"""What speaks for a candidate: one file a source."""

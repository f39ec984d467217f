"""Queries of the benchmark of retrieval, and how molecules are measured."""

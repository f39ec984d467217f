"""Parts of `python -m benchmarks.language_model`."""

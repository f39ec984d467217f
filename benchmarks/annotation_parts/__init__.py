"""Parts of :mod:`benchmarks.annotation`."""

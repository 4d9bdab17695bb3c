"""Built-in synthetic data sets."""

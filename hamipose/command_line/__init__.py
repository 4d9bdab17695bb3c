"""Command lines of both packages: parsing, help, errors and Lightning's CLI."""

"""Drawing, plots, HTML pages and their server."""

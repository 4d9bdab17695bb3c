"""From footage that nobody labelled to a model adapted to it: the verb `adapt`."""

"""The known data sets: what each is, and commands to prepare, check and show them."""

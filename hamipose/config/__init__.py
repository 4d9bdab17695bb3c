"""Read configs: inheritance, objects built from them, data paths, machine resources."""

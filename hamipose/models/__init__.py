"""Networks: pose networks, the teacher, pretrained networks, person detectors, and their files."""

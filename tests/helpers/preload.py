"""Imported once by the process from which :func:`tests.helpers.processes.run_script` forks."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import tests.helpers.fit_mesh
import tests.helpers.fit_pose
import tests.helpers.shared_parser
import tests.helpers.train_backbones  # noqa: F401

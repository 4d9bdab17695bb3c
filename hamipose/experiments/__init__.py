"""The paper's tables: what each needs, the runs it lacks, and the page it becomes (``python -m hamipose report``)."""

"""The tests; tiers by folder, see CONTRIBUTING.

Said here, before numpy and torch are imported, is how their threads wait: a run keeps every core
busy, and threads that spin until the next product take the cores from other tests. In CPU-seconds
on two busy cores: 300 small products 1.4, and 0.1 in one thread of OpenBLAS; 100 steps of a small
network 4.6, and 0.9 where OpenMP's threads, as many as ever, sleep. Who sets a variable has their
way.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

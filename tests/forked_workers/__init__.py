"""Workers of a run that begin with everything imported: `-p tests.forked_workers.plugin`.

Each of four workers took 21 CPU-seconds to import our rooms, with probes, and what they stand on.
One process, the server, does it once, and forks into a worker when it is asked to. Meanwhile
another makes what the workers share (`ahead`).
"""

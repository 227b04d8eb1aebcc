"""A HyperQueue with one worker of one core that runs a script once for each number.

Usage: hyperqueue_cluster.py SERVER_FOLDER SCRIPT COUNT

The script gets the number, from 0, in HQ_TASK_ID, as tasks of `hq submit --array`
do. Says `ready` when everything is submitted, and ends when all tasks have.
"""

import sys

from hyperqueue import Job
from hyperqueue.cluster import LocalCluster, WorkerConfig

folder, script, count = sys.argv[1:]
with LocalCluster(server_dir=folder, worker_config=WorkerConfig(cores=1)) as cluster:
    client = cluster.client()
    job = Job(max_fails=None, name="sweep", default_workdir=folder)
    for number in range(int(count)):
        log = f"{folder}/task-{number}"
        job.program(["bash", script], stdout=f"{log}.out", stderr=f"{log}.log")
    submitted = client.submit(job)
    print("ready", flush=True)
    client.wait_for_jobs([submitted], raise_on_error=True)

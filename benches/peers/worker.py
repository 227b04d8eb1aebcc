"""The loop every peer program runs.

A request is one line on standard input, its answer one line of JSON on
standard output:

    time CASE SECONDS    runs CASE again and again for about SECONDS;
                         {"ms": median, "cpu_ms": mean of the processor's time,
                         "repeats": ..., "peak_bytes": most memory ever held}
    values CASE FILE     writes what CASE computes to FILE as f32, little-endian;
                         {"shape": [...]}
"""

import json
import resource
import statistics
import sys
import time


def time_case(case, seconds, least_runs):
    warm_up = time.perf_counter() + seconds / 4
    while time.perf_counter() < warm_up:
        case()
    times = []
    cpu = time.thread_time()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < least_runs:
        start = time.perf_counter()
        case()
        times.append(1e3 * (time.perf_counter() - start))
    cpu = 1e3 * (time.thread_time() - cpu) / len(times)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "ms": statistics.median(times),
        "cpu_ms": cpu,
        "repeats": len(times),
        "peak_bytes": peak,
    }


def write_values(case, file):
    import numpy

    values = numpy.ascontiguousarray(case(), dtype="<f4")
    values.tofile(file)
    return {"shape": list(values.shape)}


def serve(ready, cases, least_runs=5):
    """Answers requests until standard input ends. `ready` is the first line."""
    # Libraries may print; only answers go to standard output.
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(ready), file=answers, flush=True)
    for line in sys.stdin:
        request, case, argument = line.rstrip("\n").split(" ", 2)
        if request == "time":
            answer = time_case(cases[case], float(argument), least_runs)
        else:
            answer = write_values(cases[case], argument)
        print(json.dumps(answer), file=answers, flush=True)

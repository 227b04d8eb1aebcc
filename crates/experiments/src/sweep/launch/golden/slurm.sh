#!/bin/bash
#SBATCH --job-name=tiny
#SBATCH --array=0-3,7%8
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=900M
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output='/scratch/my sweeps/tiny/logs/slurm-%A_%a.log'
#SBATCH --partition=short

# Made by `soft-moa sweep launch slurm`. Task I makes the 3 runs of the plan from I * 3 on.
# Before the time limit the shell gets SIGTERM and hands it on: the run saves its
# state and ends with 75 (try again), and the task goes back into the queue.
export OMP_NUM_THREADS=2 RAYON_NUM_THREADS=2
run=
signalled=no
trap 'signalled=yes; [ -z "$run" ] || kill -TERM "$run"' TERM
/opt/soft-moa/soft-moa sweep run --plan '/scratch/my sweeps/tiny' \
    --index "$((SLURM_ARRAY_TASK_ID * 3))" --count 3 --threads 2 --checkpoint-every 60 \
    --cache /scratch/cache --datasets /opt/soft-moa/datasets &
run=$!
while :; do
    signalled=no
    wait "$run"
    code=$?
    # A signal ends `wait` before the run has ended.
    [ "$signalled" = yes ] || break
done
case "$code" in
75 | 143)
    if [ "${SLURM_RESTART_COUNT:-0}" -lt 100 ]; then
        scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
    fi
    ;;
esac
exit "$code"

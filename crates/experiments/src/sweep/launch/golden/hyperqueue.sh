#!/bin/bash
#HQ --name=tiny
#HQ --array=0-3,7
#HQ --cpus=2
#HQ --resource mem=900
#HQ --crash-limit=1000
#HQ --stdout='/scratch/my sweeps/tiny/logs/hyperqueue-%{TASK_ID}.out'
#HQ --stderr='/scratch/my sweeps/tiny/logs/hyperqueue-%{TASK_ID}.log'
#HQ --resource gpus/nvidia=1

# Made by `soft-moa sweep launch hyperqueue`. Task I makes run I of the plan.
export OMP_NUM_THREADS=2 RAYON_NUM_THREADS=2
exec /opt/soft-moa/soft-moa sweep run --plan '/scratch/my sweeps/tiny' \
    --index "$HQ_TASK_ID" --count 1 --threads 2 --checkpoint-every 60 --wait 600 \
    --cache /scratch/cache --datasets /opt/soft-moa/datasets
